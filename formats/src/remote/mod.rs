//! Object stores: what lies behind `s3://bucket/path`, `gs://bucket/path` and `https://host/path`.
//!
//! The crate `object_store` speaks the protocols. Calls here block: any number of threads wait,
//! each for its own requests, while two threads of one runtime move the bytes. A response is
//! copied, piece by piece as it arrives, into the buffer of who asked, so what is held beside it
//! is bounded ([`FOREIGN`]) and does not grow with the data.
//!
//! Whatever may pass is tried again: a request that was refused or got no answer, as
//! `object_store` does it, and here a response that broke off, which goes on where it was. So an
//! error that comes out of here is final, and not tried again by who reads.
//!
//! | file | owns |
//! |---|---|
//! | `bucket` | URLs and credentials; the client of each bucket or server |
//! | `request` | the runtime, waiting, and what errors say |
//! | `prefix` | documents, listings, removal |
//! | `object` | reading: ranges into buffers, and reading ahead |
//! | `upload` | writing an object in parts |
//! | `absent` | all this in a build without the feature `remote` |

#[cfg(not(feature = "remote"))]
mod absent;
#[cfg(feature = "remote")]
mod bucket;
#[cfg(feature = "remote")]
mod object;
#[cfg(feature = "remote")]
mod prefix;
#[cfg(feature = "remote")]
mod request;
#[cfg(feature = "remote")]
mod upload;

#[cfg(not(feature = "remote"))]
pub(crate) use absent::{FOREIGN, Object, Prefix, Upload};
#[cfg(feature = "remote")]
pub(crate) use {
    object::{FOREIGN, Object},
    prefix::Prefix,
    upload::Upload,
};

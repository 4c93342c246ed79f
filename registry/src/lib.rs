//! A client of OCI registries: images and any other artifacts, in and out.
//!
//! [`Registry`] speaks the distribution protocol over the same transport stack as the rest of the
//! tree (hyper, rustls with ring): resolve, manifests and indexes, blobs with resume and verified
//! digests, pushes that skip or mount what is there. [`Credentials`] reads Docker's configuration.
//! [`Artifact`] is a small artifact as a whole, for `publish` and `-f oci://`.
//!
//! No engine is known here, nothing is printed, and neither environment nor home is read: where
//! things are comes in with [`Settings`].

mod artifact;
mod auth;
mod blobs;
mod client;
mod connector;
mod credentials;
mod digest;
mod document;
mod error;
mod exchange;
mod hosts;
mod platform;
mod reference;
mod tls;
mod uploads;

pub use artifact::{Artifact, Part};
pub use blobs::{BlobStream, BoxedBytes};
pub use client::{Document, Registry};
pub use credentials::{Credentials, Login};
pub use digest::{digest_of, is_digest};
pub use document::{Descriptor, Manifest, media};
pub use error::{RegistryError, Result};
pub use hosts::{Proxies, Settings};
pub use platform::Platform;
pub use reference::Reference;
pub use tls::TlsRules;
pub use uploads::{Source, Uploaded};

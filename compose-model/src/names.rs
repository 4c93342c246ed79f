//! A newtype for every kind of name and identity, so that one is never passed for another.
//!
//! The names of the file (`NetworkKey`) and the names in the engine (`NetworkName`) are both
//! text and differ as soon as somebody writes `name:`; mixing them up is the classic fault of
//! this field. Validation lives where a name enters the program, not here.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text that is already known to be such a name.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )*};
}

names! {
    /// The name of a project: lower-case letters, digits, `-` and `_`.
    ProjectName;
    /// A service as the file names it.
    ServiceName;
    /// A network as the file names it (the key below `networks:`).
    NetworkKey;
    /// A volume as the file names it (the key below `volumes:`).
    VolumeKey;
    /// A secret as the file names it.
    SecretKey;
    /// A config as the file names it.
    ConfigKey;
    /// A network as the engine names it, for example `shop_default`.
    NetworkName;
    /// A volume as the engine names it, for example `shop_data`.
    VolumeName;
    /// A container as the engine names it, without a leading slash, for example `shop-web-1`.
    ContainerName;
    /// The engine's identity of a container (64 hex digits).
    ContainerId;
    /// An image as a file or a person names it, for example `shop/web:7`.
    ImageRef;
    /// The engine's identity of an image (`sha256:` and 64 hex digits).
    ImageId;
}

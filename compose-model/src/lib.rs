//! From the text of Compose files to a typed [`Project`].
//!
//! The stages, one module each, are listed in ARCHITECTURE.md. This crate knows no engine, starts
//! no process, prints nothing, and reads files only through its `Files` trait.

pub mod assemble;
pub mod canonical;
pub mod consistency;
pub mod decode;
pub mod defaults;
pub mod diagnostic;
pub mod discover;
pub mod dotenv;
pub mod environment;
mod extends;
pub mod files;
pub mod forms;
mod include;
pub mod interpolate;
pub mod lint;
pub mod load;
pub mod merge;
pub mod names;
pub mod normalise;
pub mod parse;
mod path_table;
pub mod path_text;
pub mod paths;
pub mod project;
pub mod schema;
pub mod selection;
pub mod service_files;
pub mod source;
pub mod swarm_notes;
pub mod template;
pub mod tree;
pub mod units;
pub mod yaml_types;

pub use load::{LoadError, LoadOptions, Loaded, load};
pub use project::Project;

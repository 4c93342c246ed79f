//! From the text of Compose files to a typed [`Project`].
//!
//! The entry is [`load()`]: options and a [`Files`](files::Files) in, a [`Project`] with warnings and
//! places out, or every mistake of the run as [`LoadError`]. [`canonical`] prints and hashes what was
//! loaded.
//!
//! The stages, one module each, in order: [`discover`] chooses files and reads `.env`, [`parse`]
//! makes trees with spans, [`interpolate`] fills in variables, includes and `extends` are followed,
//! [`merge`] lays files over each other, [`schema`] checks, [`forms`] turns short forms into long
//! ones, [`defaults`], [`paths`] and [`normalise`] complete the tree, [`decode`] makes types of it,
//! [`consistency`] checks across services, [`selection`] keeps what is asked for.
//!
//! This crate knows no engine, starts no process, prints nothing, and reads files only through its
//! `Files` trait. `examples/load.rs` shows it in use.

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

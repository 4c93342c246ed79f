//! What a project wants and what runs become a [`Plan`]: a graph of steps that an engine can do,
//! each with its reason.
//!
//! Everything here is a pure function of its arguments: no clock, no environment, no file, no
//! engine, no randomness. Equal input gives an equal plan, byte for byte. What an engine can do
//! comes in as [`Capabilities`]; what it has, as [`Observed`]; what the user asked, as [`Intent`].

pub mod capabilities;
pub mod intent;
pub mod labels;
pub mod observed;
pub mod op;
pub mod plan;
pub mod reason;
pub mod spec;

pub use capabilities::Capabilities;
pub use intent::Intent;
pub use observed::Observed;
pub use op::{Op, OpId, Target};
pub use plan::{Note, Plan, Step};
pub use reason::Reason;

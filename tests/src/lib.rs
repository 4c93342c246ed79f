//! The harness of the behaviour suite: engines, throw-away projects, and checks of real state.
//!
//! Cases live in `tests/behaviour`, one file per theme. They run the program as a user would and
//! look at the engine itself, not at printed text, to see what happened. Which engines there are
//! comes from the environment (`cargo xtask test` sets it):
//!
//! | variable | meaning |
//! |---|---|
//! | `COMPOSE_TEST_DOCKER20`, `COMPOSE_TEST_DOCKER28` | `unix://` address of a Docker engine |
//! | `COMPOSE_TEST_DOCKER20_PORTS`, ... | host at which its published ports answer |
//! | `COMPOSE_TEST_CONTAINERD1`, `COMPOSE_TEST_CONTAINERD2` | socket path of a containerd |
//! | `COMPOSE_TEST_NAMESPACE` | begin of the containerd namespace's name (`compose-tests`) |
//! | `COMPOSE_TEST_IMAGES` | folder with the image archives |
//! | `COMPOSE_TEST_BINARY` | the program under test |
//! | `COMPOSE_TEST_REFERENCE` | Docker Compose itself, to prove the suite and for interoperability |
//! | `COMPOSE_TEST_CLIENTS` | a Python that has the packages of `tests/clients/requirements.txt` |

pub mod containerd;
pub mod engine;
mod grpc;
pub mod http;
pub mod private;
pub mod private_containerd;
pub mod private_engine;
pub mod project;
pub mod proxy;
pub mod registry;
pub mod terminal;
pub mod wait;

pub use engine::{ContainerState, Engine, Kind};
pub use project::{Project, Run};
pub use proxy::Proxy;
pub use registry::{Access, Registry};
pub use terminal::Terminal;
pub use wait::eventually;

/// How a case ends: `Err` holds what is wrong, for people.
pub type CaseResult = Result<(), String>;

/// Fails the case with a formatted message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Fails the case unless both sides are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        // A `match` keeps temporaries of the operands alive.
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    return Err(format!("{}\n  got:      {left:?}\n  expected: {right:?}", format!($($message)+)));
                }
            }
        }
    };
}

//! The network namespace of a Docker engine, and the veth pair that reaches into it.

use super::Engine;
use crate::shell;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Names and addresses of one engine's network. The host has `.1` of a /30, the engine `.2`.
pub(super) struct Net {
    engine: Engine,
    base: String,
}

impl Net {
    /// The network of an engine; nothing is made.
    pub(super) fn of(engine: Engine) -> Self {
        let base = std::env::var("COMPOSE_XTASK_NET").unwrap_or_else(|_| "10.229".to_owned());
        Self { engine, base }
    }

    fn third(&self) -> u8 {
        match self.engine {
            Engine::Docker20 => 20,
            Engine::Docker28 => 28,
            Engine::BuildKit => 60,
            Engine::Podman => 44,
            _ => 40,
        }
    }

    /// The name that `ip netns` knows.
    pub(super) fn name(&self) -> String {
        format!("compose-xtask-{}", self.engine.name())
    }

    /// The file that stands for it.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.name()))
    }

    /// Where published ports answer.
    pub(super) fn ports(&self) -> String {
        format!("{}.{}.2", self.base, self.third())
    }

    /// The engine's default bridge.
    pub(super) fn bridge(&self) -> String {
        format!("{}.{}.1/24", self.base, self.third() + 1)
    }

    /// What the engine takes the networks of projects from: all of them, and the size of each.
    pub(super) fn pool_parts(&self) -> (String, u8) {
        (format!("{}.{}.0/18", self.base, if self.engine == Engine::Docker20 { 64 } else { 128 }), 24)
    }

    /// The same, as a Docker engine is told it.
    pub(super) fn pool(&self) -> String {
        let (base, size) = self.pool_parts();
        format!("base={base},size={size}")
    }

    fn host_end(&self) -> String {
        format!("cx{}h", self.third())
    }

    /// Makes the namespace and the pair. There is no way out of it: nothing here needs one,
    /// and a look-up of a foreign name fails at once instead of after a long wait.
    pub(super) fn up(&self) -> Result<()> {
        self.down();
        let (name, host, inner) = (self.name(), self.host_end(), format!("cx{}n", self.third()));
        let host_address = format!("{}.{}.1/30", self.base, self.third());
        let inner_address = format!("{}.{}.2/30", self.base, self.third());
        let steps: [&[&str]; 7] = [
            &["netns", "add", &name],
            &["link", "add", &host, "type", "veth", "peer", "name", &inner, "netns", &name],
            &["addr", "add", &host_address, "dev", &host],
            &["link", "set", &host, "up"],
            &["-n", &name, "link", "set", "lo", "up"],
            &["-n", &name, "addr", "add", &inner_address, "dev", &inner],
            &["-n", &name, "link", "set", &inner, "up"],
        ];
        for step in steps {
            let mut command = Command::new("ip");
            command.args(step);
            if let Err(error) = shell::output(&mut command) {
                self.down();
                bail!("cannot make a network namespace (this needs root and CAP_NET_ADMIN, CAP_SYS_ADMIN): {error:#}");
            }
        }
        Ok(())
    }

    /// Removes both, if they are there.
    pub(super) fn down(&self) {
        shell::succeeds(Command::new("ip").args(["link", "del", &self.host_end()]));
        if self.path().exists() {
            shell::succeeds(Command::new("ip").args(["netns", "del", &self.name()]));
        }
    }
}

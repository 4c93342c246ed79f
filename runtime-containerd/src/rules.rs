//! Which rules let the containers of a network through: its own, for all of them, or one's of each.

use std::path::PathBuf;

use compose_runtime::error::Result;
use serde::{Deserialize, Serialize};

use crate::client::local;
use crate::cni::{self, Attachment, Call};
use crate::core::{Core, write_atomically};
use crate::definition::Definition;
use crate::netns;

/// The plug-in that lets containers through.
pub(crate) const FIREWALL: &str = "firewall";

/// Whom the rules of a network serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rules {
    /// All its containers.
    Network,
    /// One; each gets its own from the plug-in.
    Container,
}

/// What is noted of a network's rules.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// Number of its bridge: another one has no rules yet.
    device: Option<u32>,
    rules: Rules,
}

impl Core {
    /// Has the rules of a network's first container serve all, where that can be done, and notes it.
    pub(crate) async fn settle_rules(&self, definition: &Definition, call: &Call<'_>, attachment: &mut Attachment) {
        let mut plugins = definition.value["plugins"].as_array().into_iter().flatten();
        let Some(firewall) = plugins.find(|plugin| plugin["type"] == FIREWALL) else { return };
        let rules = match crate::firewall::accept_bridge(definition.bridge(), attachment.addresses()).await {
            Ok(true) => Rules::Network,
            Ok(false) => Rules::Container,
            Err(error) => {
                tracing::warn!(network = definition.name(), %error, "rules for a whole network");
                return;
            }
        };
        if rules == Rules::Network {
            match call.run("DEL", &definition.value, firewall, &attachment.result).await {
                Ok(_) => attachment.network = cni::without(&attachment.network, FIREWALL),
                Err(error) => tracing::warn!(network = definition.name(), %error, "rules of a single container"),
            }
        }
        if let Err(error) = self.note_rules(definition, rules) {
            tracing::warn!(network = definition.name(), %error, "noting the rules of a network");
        }
    }

    /// Where it is noted which rules a network has. A reboot takes it, as it takes the rules.
    pub(crate) fn rules_mark(&self, network: &str) -> PathBuf {
        self.namespaced(&self.settings.state_root, "rules").join(network)
    }

    fn note_rules(&self, definition: &Definition, rules: Rules) -> Result<()> {
        let mark = Mark { device: netns::device_index(definition.bridge()), rules };
        let path = self.rules_mark(definition.name());
        if let Some(parent) = path.parent() {
            crate::core::private_directory(parent)?;
        }
        let bytes = serde_json::to_vec(&mark).map_err(|error| local(path.display(), error))?;
        write_atomically(&path, &bytes)
    }

    /// The rules that a network has; `None` where that is not known for its device as it is now.
    pub(crate) fn rules_of(&self, definition: &Definition) -> Option<Rules> {
        let mark: Mark = serde_json::from_slice(&std::fs::read(self.rules_mark(definition.name())).ok()?).ok()?;
        (mark.device.is_some() && mark.device == netns::device_index(definition.bridge())).then_some(mark.rules)
    }
}

//! The `config-hash` labels: SHA-256 over the compact JSON of what makes a container, network or
//! volume what it is. Changing anything here makes every project of every user be recreated.

use sha2::{Digest, Sha256};

use crate::project::{Network, Service, Volume};

use super::document::Document;
use super::{Flavour, adjusted, json_writer};

/// The hash of a service. What does not change its containers is left out: how its image is built
/// or pulled, how many containers there are, what they wait for.
#[must_use]
pub fn service_hash(service: &Service) -> String {
    let mut document = Document::of(service);
    for attribute in ["build", "pull_policy", "scale", "depends_on"] {
        document.take(attribute);
    }
    if let Some(deploy) = document.get_mut("deploy") {
        deploy.take("replicas");
    }
    super::order_hooks(&mut document);
    digest(document)
}

/// The hash of a network.
#[must_use]
pub fn network_hash(network: &Network) -> String {
    digest(Document::of(network))
}

/// The hash of a volume; its driver is `local` unless the file names another.
#[must_use]
pub fn volume_hash(volume: &Volume) -> String {
    let mut volume = volume.clone();
    if volume.driver.is_empty() {
        "local".clone_into(&mut volume.driver);
    }
    digest(Document::of(&volume))
}

fn digest(document: Document) -> String {
    let text = json_writer::compact(&adjusted(document, Flavour::Json));
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_has_the_documented_hash() {
        let service = Service { image: "busybox".to_owned(), network_mode: "none".to_owned(), ..Service::default() };
        assert_eq!(service_hash(&service), "3e70b262313971cb5762bcc2894295d708294374d72f7fcd86b5eac2f77deeff");
    }

    #[test]
    fn what_leaves_containers_alone_leaves_the_hash_alone() {
        let plain = Service { image: "a".to_owned(), ..Service::default() };
        let changed = Service {
            scale: Some(3),
            pull_policy: "always".to_owned(),
            profiles: vec!["p".to_owned()],
            ..plain.clone()
        };
        assert_eq!(service_hash(&plain), service_hash(&changed));
    }
}

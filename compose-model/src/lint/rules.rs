//! Rules about one service at a time.

use super::Collector;
use crate::tree::{Node, Scalar, Step, StepKind, Style, Typed, Value};

/// Target ports that only databases and engines listen on, and what they belong to.
const DATABASES: [(&str, &str); 17] = [
    ("1433", "SQL Server"),
    ("1521", "Oracle"),
    ("2375", "the engine's API"),
    ("2379", "etcd"),
    ("3306", "MySQL"),
    ("33060", "MySQL"),
    ("5432", "PostgreSQL"),
    ("5984", "CouchDB"),
    ("6379", "Redis"),
    ("7687", "Neo4j"),
    ("8086", "InfluxDB"),
    ("9042", "Cassandra"),
    ("9200", "Elasticsearch"),
    ("9300", "Elasticsearch"),
    ("11211", "memcached"),
    ("26257", "CockroachDB"),
    ("27017", "MongoDB"),
];

/// What the names of secrets end with.
const SECRET_ENDS: [&str; 10] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "SECRET_KEY",
];

pub(super) fn run(tree: &Node, found: &mut Collector<'_>) {
    for section in ["services", "jobs"] {
        for (name, entry) in tree.get(section).and_then(Node::as_mapping).into_iter().flatten() {
            let service = Service { section, name, node: &entry.value };
            service.ports(found);
            service.restart(found);
            service.image(found);
            service.environment(found);
            service.volumes(found);
            service.links(found);
            if is_true(entry.value.get("privileged")) {
                let message = format!("{service} is privileged: it can do whatever root of the host can do");
                let help = "name what it needs with `cap_add:` or `devices:`";
                if let Some(node) = entry.value.get("privileged") {
                    found.add("privileged", service.scope(), node, message, help);
                }
            }
        }
    }
}

/// Text of a scalar, whatever its type.
pub(super) fn text(node: Option<&Node>) -> String {
    node.and_then(Node::as_scalar).map(|scalar| scalar.to_text().to_string()).unwrap_or_default()
}

pub(super) fn is_true(node: Option<&Node>) -> bool {
    text(node) == "true"
}

/// The items of a list, or the entries of a mapping.
pub(super) fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_sequence).unwrap_or_default()
}

/// A service while it is looked at.
struct Service<'a> {
    section: &'static str,
    name: &'a str,
    node: &'a Node,
}

impl std::fmt::Display for Service<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.section, self.name)
    }
}

impl Service<'_> {
    const fn scope(&self) -> (&'static str, &str) {
        (self.section, self.name)
    }

    fn ports(&self, found: &mut Collector<'_>) {
        let network_mode = text(self.node.get("network_mode"));
        let ports = items(self.node, "ports");
        let without = network_mode == "host"
            || network_mode == "none"
            || network_mode.starts_with("service:")
            || network_mode.starts_with("container:");
        if without && let Some(first) = ports.first() {
            let message = format!("{self} publishes ports, which has no effect with `network_mode: {network_mode}`");
            let help = "remove `ports:` or `network_mode:`";
            found.add("ports-without-network", self.scope(), first, message, help);
        }
        let replicas = self.node.get("deploy").and_then(|deploy| deploy.get("replicas")).or(self.node.get("scale"));
        let replicas = text(replicas).parse::<i64>().unwrap_or(1);
        for port in ports {
            let written = found.sources.slice(port.span());
            if is_base_60(written) {
                let message = format!("{self}: many YAML readers take {written} for a number of base 60");
                found.add("ambiguous-port", self.scope(), port, message, &format!("put it in quotes: \"{written}\""));
            }
            let published = text(port.get("published"));
            if published.is_empty() || without {
                continue;
            }
            let target = text(port.get("target"));
            let address = text(port.get("host_ip"));
            let database = DATABASES.iter().find(|(port, _)| *port == target);
            if let Some((_, product)) = database.filter(|_| matches!(address.as_str(), "" | "0.0.0.0" | "::")) {
                let message = format!("{self} publishes port {target} ({product}) on all addresses of the host");
                let help = format!(
                    "publish it for this host only (\"127.0.0.1:{published}:{target}\"), or not at all: \
                     other services reach it by the service's name"
                );
                found.add("published-database", self.scope(), port, message, &help);
            }
            if replicas > 1 && published.parse::<u16>().is_ok_and(|port| port > 0) {
                let message = format!("{self} has {replicas} replicas, but only one can publish host port {published}");
                let help = format!(
                    "publish a range (\"{published}-{}:{target}\"), or leave the host port to the engine (\"{target}\")",
                    published.parse::<i64>().unwrap_or(0).saturating_add(replicas - 1)
                );
                found.add("fixed-port-of-replicas", self.scope(), port, message, &help);
            }
        }
    }

    fn restart(&self, found: &mut Collector<'_>) {
        let Some(node) = self.node.get("restart") else { return };
        let word = text(Some(node));
        let known = ["no", "always", "unless-stopped", "on-failure"];
        let counted = word.strip_prefix("on-failure:").is_some_and(|count| count.parse::<u32>().is_ok());
        if word.is_empty() || known.contains(&word.as_str()) || counted {
            return;
        }
        let message = format!("{self}: the engine knows no restart policy `{word}` and will refuse the container");
        let help = match crate::diagnostic::closest(&word, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "use no, always, unless-stopped, on-failure or on-failure:N".to_owned(),
        };
        found.add("unknown-restart-policy", self.scope(), node, message, &help);
    }

    fn image(&self, found: &mut Collector<'_>) {
        let Some(node) = self.node.get("image") else { return };
        let image = text(Some(node));
        // The tag of what is built here says nothing about what comes from elsewhere.
        if image.is_empty() || image.contains('@') || self.node.get("build").is_some() {
            return;
        }
        let last = image.rsplit('/').next().unwrap_or_default();
        let (name, tag) = last.split_once(':').unwrap_or((last, ""));
        // `image:` with a variable that is not set; the loader has said so.
        if name.is_empty() || last.ends_with(':') {
            return;
        }
        if tag.is_empty() || tag == "latest" {
            let message = if tag.is_empty() {
                format!(
                    "{self}: image `{image}` has no tag, which means `latest`: it changes without a change of the file"
                )
            } else {
                format!("{self}: image `{image}` changes without a change of the file")
            };
            let help = format!("name a version, for example `{name}:1.2`");
            found.add("unpinned-image", self.scope(), node, message, &help);
        }
    }

    fn environment(&self, found: &mut Collector<'_>) {
        let arguments = self.node.get("build").and_then(|build| build.get("args"));
        let sets = [
            ("environment", self.node.get("environment"), true),
            ("build.args", arguments, true),
            ("labels", self.node.get("labels"), false),
        ];
        for (attribute, set, may_be_secret) in sets {
            let Some(set) = set else { continue };
            match &set.value {
                Value::Mapping(mapping) => {
                    for (key, entry) in mapping {
                        let Some(scalar) = entry.value.as_scalar() else { continue };
                        let secret = may_be_secret && looks_secret(key);
                        if secret && self.is_literal(&scalar.to_text(), &entry.value, found) {
                            self.secret(attribute, key, &entry.value, found);
                        }
                        self.changed_value(attribute, key, scalar, &entry.value, secret, found);
                    }
                }
                Value::Sequence(list) if may_be_secret => {
                    for item in list {
                        let Some((key, value)) = item.as_str().and_then(|text| text.split_once('=')) else { continue };
                        if looks_secret(key) && self.is_literal(value, item, found) {
                            self.secret(attribute, key, item, found);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a value stands in the file itself and can be a secret.
    fn is_literal(&self, value: &str, node: &Node, found: &Collector<'_>) -> bool {
        let filled_in = |step: &Step| matches!(step.kind, StepKind::Variable(_));
        let switch =
            matches!(value.to_ascii_lowercase().as_str(), "yes" | "no" | "true" | "false" | "on" | "off" | "0" | "1");
        !value.is_empty()
            && !switch
            && !value.starts_with("/run/secrets/")
            && !node.origin.steps().any(filled_in)
            && !found.sources.slice(node.span()).contains('$')
    }

    fn secret(&self, attribute: &str, key: &str, node: &Node, found: &mut Collector<'_>) {
        let message = format!("{self}.{attribute}: `{key}` looks like a secret and stands in the file in plain text");
        let help = "take it from the environment (`${NAME:?}` and an .env file that is not committed), \
                    or give it to the service with `secrets:`";
        found.add("secret-in-environment", self.scope(), node, message, help).hides_line = true;
    }

    fn changed_value(
        &self,
        attribute: &str,
        key: &str,
        scalar: &Scalar,
        node: &Node,
        secret: bool,
        found: &mut Collector<'_>,
    ) {
        let written = found.sources.slice(node.span()).trim();
        let becomes = scalar.to_text();
        let is_converted = scalar.style == Style::Plain && !matches!(scalar.typed, Typed::Text | Typed::Null);
        if !is_converted || written == &*becomes || written.is_empty() || &*scalar.text != written {
            return;
        }
        let message = if secret {
            format!(
                "{self}.{attribute}: the value of `{key}` reaches the container as another text than the one written"
            )
        } else {
            format!("{self}.{attribute}: `{key}` is written {written} but reaches the container as {becomes}")
        };
        let help = if secret { "put it in quotes".to_owned() } else { format!("put it in quotes: \"{written}\"") };
        found.add("changed-value", self.scope(), node, message, &help).hides_line = secret;
    }

    fn volumes(&self, found: &mut Collector<'_>) {
        for mount in items(self.node, "volumes") {
            let target = text(mount.get("target"));
            let mut letters = target.chars();
            let is_drive = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
                && letters.next() == Some(':')
                && letters.next() == Some('/');
            if is_drive && mount.get("source").is_none() {
                let message = format!(
                    "{self}: `{target}` is read as a path on a Windows drive: an anonymous volume, not the volume `{}`",
                    &target[..1]
                );
                let help = "give the volume a name of two or more letters, or use the long form";
                found.add("one-letter-volume", self.scope(), mount, message, help);
            }
            let source = text(mount.get("source"));
            if source.ends_with("/docker.sock")
                || source.ends_with("/containerd.sock")
                || source.ends_with("/podman.sock")
            {
                let message = format!("{self} can reach the engine through {source}, which makes it root of the host");
                let help = "mount it only for programs that manage containers; reading it `ro` does not restrict them";
                found.add("engine-socket", self.scope(), mount, message, help);
            }
        }
    }

    fn links(&self, found: &mut Collector<'_>) {
        if let Some(node) =
            self.node.get("links").filter(|node| node.as_sequence().is_some_and(|list| !list.is_empty()))
        {
            let message = format!("{self}: `links` is a relic; services of one network find each other by name");
            let help = "use `depends_on:` for the order, and `networks: {NAME: {aliases: [...]}}` for other names";
            found.add("links", self.scope(), node, message, help);
        }
    }
}

/// Whether YAML 1.1 reads a plain text as a number of base 60: `22:22`, `1:30:00`.
fn is_base_60(text: &str) -> bool {
    let mut parts = text.split(':');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let first = parts.next().is_some_and(|part| digits(part) && !part.starts_with('0'));
    let mut rest = parts.peekable();
    first && rest.peek().is_some() && rest.all(|part| digits(part) && part.parse::<u8>().is_ok_and(|part| part < 60))
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

//! Who answers to which name, in which network: the table behind the name server. No sockets and
//! no messages.

use std::collections::HashMap;
use std::net::IpAddr;

use containerd_client::services::v1::Container;

use crate::core::name_of;
use crate::record::{HEALTH, Record, label};

/// Characters of an identity that are a name.
const SHORT: usize = 12;

/// A container's place in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) network: String,
    pub(super) addresses: Vec<IpAddr>,
    /// Lower case.
    pub(super) names: Vec<String>,
    /// Alias and the name that it stands for, lower case; for this container alone.
    pub(super) links: Vec<(String, String)>,
}

/// A container as the table sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// In the order in which names are looked for.
    pub(super) places: Vec<Place>,
    /// Its process runs: others find it.
    pub(super) running: bool,
    /// It has not failed its health check.
    pub(super) serving: bool,
    /// Name servers of its own.
    pub(super) upstream: Vec<IpAddr>,
    /// Whether it may ask the world outside.
    pub(super) outside: bool,
}

impl Member {
    pub(super) fn of(container: &Container, record: &Record, running: bool) -> Self {
        let lower = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
        let places = record.networks.iter().map(|endpoint| {
            let attached = record.attached.get(endpoint.network.as_str());
            let addresses = attached.into_iter().flat_map(crate::cni::Attachment::addresses);
            let addresses = addresses.filter_map(|address| address.parse().ok()).collect();
            let mut names: Vec<String> = endpoint.aliases.iter().map(|alias| lower(alias)).collect();
            names.extend([lower(name_of(container)), lower(container.id.get(..SHORT).unwrap_or_default())]);
            names.sort();
            names.dedup();
            let links = endpoint.links.iter().filter_map(|link| link.split_once(':'));
            let links = links.map(|(target, alias)| (lower(alias), lower(target))).collect();
            Place { network: lower(endpoint.network.as_str()), addresses, names, links }
        });
        let outside = |attached: &crate::cni::Attachment| {
            let routes = attached.network["plugins"][0]["ipam"]["routes"].as_array();
            routes.is_some_and(|routes| !routes.is_empty())
        };
        Self {
            name: lower(name_of(container)),
            places: places.collect(),
            running,
            serving: label(container, HEALTH) != "unhealthy",
            upstream: record.dns.iter().filter_map(|server| server.parse().ok()).collect(),
            outside: record.attached.values().any(outside),
        }
    }
}

/// Those who answer to a name.
#[derive(Debug, Default)]
struct Holders {
    containers: Vec<String>,
    /// Who comes first in the next answer.
    turn: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Names {
    members: HashMap<String, Member>,
    networks: HashMap<String, HashMap<String, Holders>>,
}

impl Names {
    /// Enters a container, or what has become of it.
    pub(super) fn set(&mut self, id: &str, member: Member) {
        if self.members.get(id) == Some(&member) {
            return;
        }
        self.remove(id);
        for place in member.places.iter().filter(|_| member.running) {
            let network = self.networks.entry(place.network.clone()).or_default();
            for name in &place.names {
                let holders = network.entry(name.clone()).or_default();
                let at = holders.containers.partition_point(|other| other.as_str() < id);
                holders.containers.insert(at, id.to_owned());
            }
        }
        self.members.insert(id.to_owned(), member);
    }

    /// Its process has ended: it asks no more, and is not found.
    pub(super) fn rest(&mut self, id: &str) {
        if let Some(member) = self.members.get(id)
            && member.running
        {
            let member = Member { running: false, ..member.clone() };
            self.set(id, member);
        }
    }

    /// Removes a container.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        for place in member.places.iter().filter(|_| member.running) {
            let Some(network) = self.networks.get_mut(&place.network) else { continue };
            for name in &place.names {
                if let Some(holders) = network.get_mut(name) {
                    holders.containers.retain(|other| other != id);
                    if holders.containers.is_empty() {
                        network.remove(name);
                    }
                }
            }
            if network.is_empty() {
                self.networks.remove(&place.network);
            }
        }
    }

    /// The addresses behind a name as the asker sees it, in rotating order; `None`: nobody here
    /// has the name. Empty: somebody has it, but no address of this kind.
    pub(super) fn look_up(&mut self, asker: &str, name: &str, ipv6: bool) -> Option<Vec<IpAddr>> {
        let asker = self.members.get(asker)?;
        for place in &asker.places {
            let Some(network) = self.networks.get_mut(&place.network) else { continue };
            let mut linked = Vec::new();
            for (_, target) in place.links.iter().filter(|(alias, _)| alias == name) {
                if let Some(holders) = network.get_mut(target) {
                    linked.append(&mut addresses(&self.members, &place.network, holders, ipv6));
                }
            }
            if !linked.is_empty() {
                return Some(linked);
            }
            let suffix = name.strip_suffix(place.network.as_str()).and_then(|rest| rest.strip_suffix('.'));
            for candidate in [name].into_iter().chain(suffix) {
                let Some(holders) = network.get_mut(candidate) else { continue };
                return Some(addresses(&self.members, &place.network, holders, ipv6));
            }
        }
        None
    }

    /// The name behind an address, as the asker sees it.
    pub(super) fn reverse(&self, asker: &str, address: IpAddr) -> Option<String> {
        let asker = self.members.get(asker)?;
        let near = |network: &str| asker.places.iter().any(|place| place.network == network);
        self.members.values().filter(|member| member.running).find_map(|member| {
            let holds = |place: &&Place| near(&place.network) && place.addresses.contains(&address);
            member.places.iter().find(holds).map(|place| format!("{}.{}", member.name, place.network))
        })
    }

    /// Where names that nobody here has are asked for: the asker's own servers (empty: the
    /// host's); `None` where the world outside is not to be asked.
    pub(super) fn upstream(&self, asker: &str) -> Option<Vec<IpAddr>> {
        self.members.get(asker).filter(|member| member.outside).map(|member| member.upstream.clone())
    }
}

fn addresses(members: &HashMap<String, Member>, network: &str, holders: &mut Holders, ipv6: bool) -> Vec<IpAddr> {
    let of = |serving_only: bool| -> Vec<IpAddr> {
        holders
            .containers
            .iter()
            .filter_map(|id| members.get(id))
            .filter(|member| member.serving || !serving_only)
            .flat_map(|member| member.places.iter().filter(|place| place.network == network))
            .flat_map(|place| place.addresses.iter().copied())
            .filter(|address| address.is_ipv6() == ipv6)
            .collect()
    };
    let mut found = of(true);
    if found.is_empty() {
        // Nobody is healthy: whoever is there is better than nothing.
        found = of(false);
    }
    if found.len() > 1 {
        let turn = holders.turn % found.len();
        found.rotate_left(turn);
        holders.turn = holders.turn.wrapping_add(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, network: &str, address: &str, names: &[&str]) -> Member {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.push(name.to_owned());
        let place =
            Place { network: network.to_owned(), addresses: vec![address.parse().unwrap()], names, links: Vec::new() };
        Member {
            name: name.to_owned(),
            places: vec![place],
            running: true,
            serving: true,
            upstream: Vec::new(),
            outside: true,
        }
    }

    fn shown(found: Option<Vec<IpAddr>>) -> String {
        let list = |found: Vec<IpAddr>| found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
        found.map_or_else(|| "nobody".to_owned(), list)
    }

    fn three() -> Names {
        let mut names = Names::default();
        for number in 1..=3 {
            let id = format!("id{number}");
            names.set(&id, member(&format!("shop-app-{number}"), "front", &format!("10.0.0.{number}"), &["app"]));
        }
        names.set("web", member("shop-web-1", "front", "10.0.0.9", &["web"]));
        names.set("far", member("shop-far-1", "back", "10.0.1.9", &["app", "far"]));
        names
    }

    #[test]
    fn replicas_come_in_rotating_order_and_each_network_has_its_names() {
        let mut names = three();
        let answers: Vec<String> = (0..4).map(|_| shown(names.look_up("web", "app", false))).collect();
        let expected = [
            "10.0.0.1 10.0.0.2 10.0.0.3",
            "10.0.0.2 10.0.0.3 10.0.0.1",
            "10.0.0.3 10.0.0.1 10.0.0.2",
            "10.0.0.1 10.0.0.2 10.0.0.3",
        ];
        assert_eq!(answers, expected);
        for (asker, name, wanted) in [
            ("far", "app", "10.0.1.9"),
            ("web", "far", "nobody"),
            ("web", "shop-app-2", "10.0.0.2"),
            ("web", "shop-app-2.front", "10.0.0.2"),
            ("web", "shop-app-2.back", "nobody"),
            ("web", "example.com", "nobody"),
            ("stranger", "app", "nobody"),
        ] {
            assert_eq!(shown(names.look_up(asker, name, false)), wanted, "{asker} asks for {name}");
        }
        assert_eq!(shown(names.look_up("web", "app", true)), "", "the name is there, IPv6 is not");
    }

    #[test]
    fn the_unhealthy_and_the_stopped_are_left_out_unless_all_are_unhealthy() {
        let mut names = three();
        names.rest("id1");
        assert_eq!(shown(names.look_up("web", "app", false)), "10.0.0.2 10.0.0.3");
        let sick = Member { serving: false, ..member("shop-app-2", "front", "10.0.0.2", &["app"]) };
        names.set("id2", sick);
        assert_eq!(shown(names.look_up("web", "app", false)), "10.0.0.3");
        names.remove("id3");
        assert_eq!(shown(names.look_up("web", "app", false)), "10.0.0.2");
        names.remove("id2");
        assert_eq!(shown(names.look_up("web", "app", false)), "nobody");
        assert_eq!(shown(names.look_up("id1", "web", false)), "10.0.0.9", "one that does not run may ask");
    }

    #[test]
    fn links_are_for_their_container_alone_and_addresses_have_names() {
        let mut names = three();
        let mut linked = member("shop-web-1", "front", "10.0.0.9", &["web"]);
        linked.places[0].links = vec![("database".to_owned(), "shop-app-3".to_owned())];
        names.set("web", linked);
        assert_eq!(shown(names.look_up("web", "database", false)), "10.0.0.3");
        assert_eq!(shown(names.look_up("id1", "database", false)), "nobody");
        assert_eq!(names.reverse("web", "10.0.0.3".parse().unwrap()), Some("shop-app-3.front".to_owned()));
        assert_eq!(names.reverse("web", "10.0.1.9".parse().unwrap()), None);
    }
}

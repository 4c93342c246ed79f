//! Why a container equals or differs from the file, attribute by attribute: recorded when it was
//! made, wanted by the file, actual by inspection.

use std::borrow::Cow;

use compose_model::names::{ContainerName, ServiceName};
use compose_model::project::{Place, Project};
use serde::Serialize;

use crate::capabilities::Capabilities;
use crate::lower::{Peer, Peers};
use crate::observed::Observed;
use crate::reason::{Change, Reason};
use crate::world::{World, existing};
use crate::{differ, drift, hashes, lower, models};

/// What is to be told of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its name.
    pub container: ContainerName,
    /// Its service.
    pub service: ServiceName,
    /// The definition that it was made from is the one of the file.
    pub same_definition: bool,
    /// What differs.
    pub rows: Vec<Row>,
}

/// One attribute. Values that may be secrets are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The attribute, for example `environment LOG`.
    pub attribute: String,
    /// What was recorded when the container was made; `None` where only a digest of it is kept.
    pub recorded: Option<String>,
    /// What the file asks for.
    pub wanted: Option<String>,
    /// What the container has.
    pub actual: Option<String>,
    /// Where the file asks for it.
    pub place: Option<Place>,
    /// Changed by hand: the file asks for what was recorded.
    pub by_hand: bool,
}

/// Explains the containers of the project's services; for the actual values they have to be
/// inspected ([`crate::observed::Container::detail`]).
#[must_use]
pub fn explain(project: &Project, observed: &Observed, capabilities: &Capabilities) -> Vec<Explanation> {
    let project = &*models::with_variables(Cow::Borrowed(project), observed.models.as_ref());
    let world = World::new(project, observed, capabilities);
    let peers: Peers = project
        .services
        .keys()
        .map(|name| {
            let peer = |container: &&crate::observed::Container| Peer {
                number: container.number.unwrap_or(1),
                name: container.name.clone(),
                target: existing(container),
            };
            (name.clone(), world.replicas(name).iter().map(peer).collect())
        })
        .collect();
    let mut found = Vec::new();
    for (name, service) in &project.services {
        for container in world.replicas(name) {
            let (hashed, _) = lower::hashed_service(&world, &peers, service);
            let same_definition = hashes::service(&hashed) == container.config_hash;
            let mut rows: Vec<Row> = Vec::new();
            if same_definition {
                let drift = drift::of(&world, &peers, service, container).unwrap_or_default();
                rows.extend(drift.into_iter().map(|drift| by_hand(drift.change)));
            } else {
                rows.extend(differ::changes(&world, service, container).into_iter().map(by_file));
            }
            match differ::divergence(&world, &peers, service, container, &Default::default()) {
                Some(Reason::ImageChanged { old, new }) => rows.push(Row {
                    attribute: "image".to_owned(),
                    recorded: Some(old.clone()),
                    wanted: Some(new),
                    actual: Some(old),
                    place: world.place(name, "image"),
                    by_hand: false,
                }),
                Some(Reason::Disconnected { what }) if !rows.iter().any(|row| row.attribute == what) => {
                    rows.push(Row {
                        attribute: what,
                        recorded: Some("connected".to_owned()),
                        wanted: Some("connected".to_owned()),
                        actual: Some("not connected".to_owned()),
                        place: None,
                        by_hand: true,
                    });
                }
                _ => {}
            }
            if let Some((_, Reason::ContentChanged { objects })) = differ::changed_contents(&world, service, container)
            {
                rows.extend(objects.into_iter().map(|object| Row {
                    attribute: format!("content of {object}"),
                    recorded: None,
                    wanted: None,
                    actual: None,
                    place: None,
                    by_hand: false,
                }));
            }
            found.push(Explanation { container: container.name.clone(), service: name.clone(), same_definition, rows });
        }
    }
    found
}

fn by_hand(change: Change) -> Row {
    Row {
        attribute: change.attribute,
        recorded: change.new.clone(),
        wanted: change.new,
        actual: change.old,
        place: change.place,
        by_hand: true,
    }
}

/// Of the recorded value only a digest is kept; nobody changed the container since, as far as is known,
/// so that it is the actual one.
fn by_file(change: Change) -> Row {
    Row {
        attribute: change.attribute,
        recorded: change.old.clone(),
        wanted: change.new,
        actual: change.old,
        place: change.place,
        by_hand: false,
    }
}

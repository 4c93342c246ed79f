//! What happens to containers whose networks or volumes are replaced.

use compose_model::names::NetworkName;

use super::Run;
use crate::lower;
use crate::observed::Container;
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::verbs::stopping;
use crate::world::{existing, label_of};

impl<'a> Run<'_, 'a> {
    /// The removal of a replaced volume comes after that of all its users.
    pub(super) fn remove_replaced_volumes(&mut self) {
        for (volume, remove) in &self.volumes.replaced {
            for container in &self.world.observed.containers {
                let uses = container.mounts.iter().any(|mount| mount.volume.as_ref() == Some(volume));
                let gone = self.dispositions.get(&container.id).and_then(|disposition| disposition.remove.as_ref());
                if let (true, Some(gone)) = (uses, gone) {
                    self.draft.after(remove, gone);
                }
            }
        }
    }

    /// Containers on a replaced network are stopped, disconnected, connected to the new one and
    /// started again, keeping their identity.
    pub(super) fn reconnect(&mut self) {
        for (network, (remove, key)) in self.networks.replaced.clone() {
            let create = self.networks.made_by.get(&key).cloned();
            let attached = self.world.observed.containers.iter().filter(|container| {
                container.project.as_ref() == Some(&self.world.project.name)
                    && container.networks.contains_key(&network)
            });
            for container in attached {
                self.reconnect_one(container, &network, &key, &remove, create.as_ref());
            }
        }
    }

    fn reconnect_one(
        &mut self,
        container: &'a Container,
        network: &NetworkName,
        key: &compose_model::names::NetworkKey,
        remove: &OpId,
        create: Option<&OpId>,
    ) {
        let because = Reason::Follows { op: remove.clone() };
        let disposition = self.dispositions.get(&container.id).cloned().unwrap_or_default();
        let place = |label: &str| OpId::new("disconnect", format!("{label}.{key}"));
        let op = Op::Disconnect { container: existing(container), network: network.clone() };
        if let Some(gone) = &disposition.remove {
            if !disposition.replaced {
                self.draft.after(remove, gone);
                return;
            }
            let id = place(&format!("{}.old", label_of(container)));
            self.draft.add(id.clone(), op, because, Some(&container.service));
            if let Some(stop) = &disposition.stop {
                self.draft.after(&id, stop);
            }
            self.draft.after(gone, &id);
            self.draft.after(remove, &id);
            return;
        }
        let label = label_of(container);
        if container.hook.is_some() {
            // What a hook of an interrupted run left behind is not worth a new connection.
            let found = format!("{} is left over from an earlier run", container.name);
            let op = Op::RemoveContainer { container: existing(container), volumes: false, force: true };
            let because = Reason::Unfinished { found };
            let gone = self.draft.add(OpId::new("remove", label), op, because, Some(&container.service));
            self.draft.after(remove, &gone);
            return;
        }
        let service = self.world.service(&container.service);
        let stop = match &disposition.stop {
            Some(stop) => Some(stop.clone()),
            None if container.state.is_up() => {
                let stop = stopping::stop(self.draft, container, service, &label, self.up.timeout, &because);
                let replica = self
                    .replicas
                    .values_mut()
                    .flatten()
                    .find(|replica| replica.there.is_some_and(|there| there.id == container.id));
                let last = stop.last.clone();
                if let Some(replica) = replica {
                    replica.stopped = Some(stop);
                }
                Some(last)
            }
            None => None,
        };
        let disconnect = self.draft.add(place(&label), op, because.clone(), Some(&container.service));
        if let Some(stop) = &stop {
            self.draft.after(&disconnect, stop);
            self.disposition(container).stop = Some(stop.clone());
        }
        self.draft.after(remove, &disconnect);
        let endpoint = match service.and_then(|service| Some((service, service.networks.get(key)?))) {
            Some((service, options)) => lower::endpoint(
                self.world,
                service,
                key,
                options.as_ref(),
                &container.name,
                !container.one_off && container.hook.is_none(),
            ),
            // No longer on that network, or not in the file: only its own name.
            None => crate::spec::EndpointSpec {
                network: network.clone(),
                aliases: vec![container.name.to_string()],
                ..crate::spec::EndpointSpec::default()
            },
        };
        let connect = self.draft.add(
            OpId::new("connect", format!("{label}.{key}")),
            Op::Connect { container: existing(container), endpoint: Box::new(endpoint) },
            because.clone(),
            Some(&container.service),
        );
        self.draft.after(&connect, &disconnect);
        if let Some(create) = create {
            self.draft.after(&connect, create);
        }
        let replica = self
            .replicas
            .values_mut()
            .flatten()
            .find(|replica| replica.there.is_some_and(|there| there.id == container.id));
        match replica {
            Some(replica) => {
                replica.before_start.push(connect);
                replica.because = Some(because);
            }
            // Nobody else starts it again.
            None if container.state.is_up() => {
                let op = Op::Start { container: existing(container), ports: Vec::new() };
                let start = self.draft.add(OpId::new("start", &label), op, because, Some(&container.service));
                self.draft.after(&start, &connect);
            }
            None => {}
        }
    }
}

//! containerd's events in the port's words.

use std::collections::BTreeMap;

use compose_runtime::error::Result;
use compose_runtime::port::{EngineEvent, EventQuery, Items};
use containerd_client::events;
use containerd_client::services::v1::{Container, PublishRequest, SubscribeRequest};
use containerd_client::tonic::codec::Streaming;
use containerd_client::types::Envelope;
use prost::Message;

use crate::client::{optional, random_hex};
use crate::core::{Core, name_of};
use crate::record::{HEALTH, NERDCTL, STATE, label};
use crate::time;

/// Time between two attempts to hear one's own event.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// What is known of a container while its events are followed: at its removal it is gone already.
#[derive(Clone, Debug, Default)]
struct Known {
    name: String,
    labels: BTreeMap<String, String>,
    image: String,
    health: String,
}

impl Known {
    fn of(container: &Container) -> Self {
        let kept = |key: &str| !key.starts_with(STATE) && !key.starts_with(NERDCTL);
        Self {
            name: name_of(container).to_owned(),
            labels: container
                .labels
                .iter()
                .filter(|(key, _)| kept(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            image: crate::reference::familiar(&container.image),
            health: label(container, HEALTH).to_owned(),
        }
    }
}

/// Turns envelopes into events, with what it has learnt of the containers.
struct Translator {
    core: Core,
    labels: Vec<(String, Option<String>)>,
    known: BTreeMap<String, Known>,
}

impl Core {
    /// Subscribes to events of this namespace and returns when the subscription holds.
    ///
    /// containerd answers a subscription with its first event only, so one is published that
    /// nobody else listens to, again and again until it comes back.
    pub(crate) async fn subscribe(&self, filters: &[String]) -> Result<Streaming<Envelope>> {
        let namespace = self.client.namespace();
        let topic = format!("/compose/subscribed/{}", random_hex(8)?);
        let own = format!("topic==\"{topic}\"");
        let filters =
            filters.iter().chain([&own]).map(|filter| format!("namespace==\"{namespace}\",{filter}")).collect();
        let request = self.client.request(SubscribeRequest { filters });
        let mut events = self.client.events();
        let subscribing = self.client.call("Events.Subscribe", events.subscribe(request));
        tokio::pin!(subscribing);
        let mut every = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                biased;
                stream = &mut subscribing => return stream,
                _ = every.tick() => {
                    let event = containerd_client::to_any(&events::ContainerDelete { id: topic.clone() });
                    let request = self.client.request(PublishRequest { topic: topic.clone(), event: Some(event) });
                    // Polled together with the subscription, which would not go on otherwise.
                    let mut publisher = self.client.events();
                    let publishing = self.client.call("Events.Publish", publisher.publish(request));
                    tokio::select! {
                        stream = &mut subscribing => return stream,
                        published = publishing => published?,
                    }
                }
            }
        }
    }

    /// Events of containers with labels, from now on: containerd stores none.
    pub(crate) async fn follow_events(&self, query: &EventQuery) -> Result<Items<EngineEvent>> {
        let stream = self.subscribe(&["topic~=\"^/containers/\"".to_owned(), "topic~=\"^/tasks/\"".to_owned()]).await?;
        let mut known = BTreeMap::new();
        for container in self.records(&[]).await? {
            known.insert(container.id.clone(), Known::of(&container));
        }
        let mut translator = Translator { core: self.clone(), labels: query.labels.clone(), known };
        let until = time::parse(&query.until);
        let mut stream = stream;
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        // Translated as they come, not as they are read: a container's labels are only to be had
        // while it is there.
        tokio::spawn(async move {
            let end = async {
                match until {
                    None => std::future::pending().await,
                    Some(until) => {
                        let left = std::time::Duration::try_from(until.duration_since(time::now()));
                        tokio::time::sleep(left.unwrap_or_default()).await;
                    }
                }
            };
            tokio::pin!(end);
            loop {
                let message = tokio::select! {
                    message = stream.message() => message,
                    () = &mut end => return,
                    () = sender.closed() => return,
                };
                let items = match message {
                    Ok(Some(envelope)) => translator.translate(&envelope).await.into_iter().map(Ok).collect(),
                    Ok(None) => return,
                    Err(status) => vec![Err(translator.core.client.error(&status))],
                };
                for item in items {
                    let failed = item.is_err();
                    if sender.send(item).is_err() || failed {
                        return;
                    }
                }
            }
        });
        Ok(Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })))
    }
}

impl Translator {
    async fn translate(&mut self, envelope: &Envelope) -> Vec<EngineEvent> {
        let bytes = envelope.event.as_ref().map(|event| event.value.as_slice()).unwrap_or_default();
        let mut extra = BTreeMap::new();
        let (id, actions): (String, Vec<String>) = match envelope.topic.as_str() {
            "/containers/create" => {
                let Ok(event) = events::ContainerCreate::decode(bytes) else { return Vec::new() };
                self.learn(&event.id).await;
                (event.id, vec!["create".to_owned()])
            }
            "/containers/update" => {
                let Ok(event) = events::ContainerUpdate::decode(bytes) else { return Vec::new() };
                let before = self.known.get(&event.id).cloned().unwrap_or_default();
                let after = self.learn(&event.id).await;
                let mut actions = Vec::new();
                if before.name != after.name && !before.name.is_empty() {
                    extra.insert("oldName".to_owned(), before.name);
                    actions.push("rename".to_owned());
                }
                if before.health != after.health && !after.health.is_empty() {
                    actions.push(format!("health_status: {}", after.health));
                }
                (event.id, actions)
            }
            "/containers/delete" => {
                let Ok(event) = events::ContainerDelete::decode(bytes) else { return Vec::new() };
                (event.id, vec!["destroy".to_owned()])
            }
            "/tasks/start" => {
                let Ok(event) = events::TaskStart::decode(bytes) else { return Vec::new() };
                (event.container_id, vec!["start".to_owned()])
            }
            "/tasks/exit" => {
                let Ok(event) = events::TaskExit::decode(bytes) else { return Vec::new() };
                extra.insert("exitCode".to_owned(), event.exit_status.to_string());
                if event.id == event.container_id {
                    (event.container_id, vec!["die".to_owned()])
                } else {
                    extra.insert("execID".to_owned(), event.id);
                    (event.container_id, vec!["exec_die".to_owned()])
                }
            }
            "/tasks/exec-started" => {
                let Ok(event) = events::TaskExecStarted::decode(bytes) else { return Vec::new() };
                extra.insert("execID".to_owned(), event.exec_id);
                (event.container_id, vec!["exec_start".to_owned()])
            }
            "/tasks/oom" => {
                let Ok(event) = events::TaskOom::decode(bytes) else { return Vec::new() };
                (event.container_id, vec!["oom".to_owned()])
            }
            "/tasks/paused" => {
                let Ok(event) = events::TaskPaused::decode(bytes) else { return Vec::new() };
                (event.container_id, vec!["pause".to_owned()])
            }
            "/tasks/resumed" => {
                let Ok(event) = events::TaskResumed::decode(bytes) else { return Vec::new() };
                (event.container_id, vec!["unpause".to_owned()])
            }
            _ => return Vec::new(),
        };
        let known = match self.known.get(&id) {
            Some(known) => known.clone(),
            None => self.learn(&id).await,
        };
        if actions.iter().any(|action| action == "destroy") {
            self.known.remove(&id);
        }
        let fits = self.labels.iter().all(|(key, value)| {
            known.labels.get(key).is_some_and(|got| value.as_ref().is_none_or(|value| value == got))
        });
        if !fits {
            return Vec::new();
        }
        let at = envelope.timestamp.as_ref().map_or_else(time::now, time::timestamp);
        let time = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
        let mut attributes = known.labels;
        attributes.insert("image".to_owned(), known.image);
        attributes.insert("name".to_owned(), known.name.clone());
        attributes.append(&mut extra);
        actions
            .into_iter()
            .map(|action| EngineEvent {
                action,
                container: id.as_str().into(),
                name: known.name.as_str().into(),
                attributes: attributes.clone(),
                time,
            })
            .collect()
    }

    async fn learn(&mut self, id: &str) -> Known {
        match optional(self.core.find(id).await) {
            Ok(Some(container)) => {
                let known = Known::of(&container);
                self.known.insert(id.to_owned(), known.clone());
                known
            }
            _ => self.known.get(id).cloned().unwrap_or_default(),
        }
    }
}

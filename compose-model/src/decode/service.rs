//! Services and jobs: the attributes beyond those of a container.

use serde_json::Value;

use crate::diagnostic::Diagnostics;
use crate::names::ServiceName;
use crate::project::{Condition, Dependency, Healthcheck, Job, PreStartHook, Provider, Service, Sorted};
use crate::tree::Node;

use super::build::{build, develop};
use super::container::{container, hook, word_lists};
use super::deploy::deploy;
use super::fields::{Fields, json_value};
use super::mounts::ports;

pub(super) fn service(name: &str, fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Service {
    let mut service = workload(name, fields, diagnostics);
    service.attach = fields.optional_flag("attach", diagnostics);
    service.container_name = fields.text("container_name");
    service.deploy = fields.map("deploy", |section| deploy(section, diagnostics));
    service.develop = fields.map("develop", |section| develop(section, diagnostics));
    service.external_links = fields.texts("external_links");
    service.links = fields.texts("links");
    service.provider = fields.map("provider", |provider| Provider {
        kind: provider.text("type"),
        options: word_lists(provider, "options"),
        extensions: provider.extensions(),
    });
    service.restart = fields.text("restart");
    service.scale = fields.optional_int("scale", diagnostics);
    service.pre_start = fields.items("pre_start", |section| {
        let mut container_of_hook = Service::default();
        container(&mut container_of_hook, section, diagnostics);
        PreStartHook {
            service: Box::new(container_of_hook),
            per_replica: section.flag("per_replica", diagnostics),
            ..PreStartHook::default()
        }
    });
    service.post_start = fields.items("post_start", |section| hook(section, diagnostics));
    service.pre_stop = fields.items("pre_stop", |section| hook(section, diagnostics));
    service
}

pub(super) fn job(name: &str, fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Job {
    let mut triggers = fields.node("triggers").map(json_value).unwrap_or_default();
    if let (Some(section), Some(entries)) = (fields.object("triggers"), triggers.as_object_mut()) {
        // Text stands for a boolean; what is empty counts as not written.
        if let Some(manual) = section.optional_flag("manual", diagnostics) {
            entries.insert("manual".to_owned(), manual.into());
        }
        let schedule = entries.get_mut("schedule").and_then(Value::as_array_mut);
        for entry in schedule.into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.retain(|key, value| key.starts_with("x-") || value.as_str() != Some(""));
        }
        entries.retain(|key, value| key != "schedule" || value.as_array().is_none_or(|list| !list.is_empty()));
    }
    Job { service: workload(name, fields, diagnostics), triggers }
}

/// What services and jobs share.
fn workload(name: &str, fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Service {
    let mut service = Service { name: name.into(), profiles: fields.texts("profiles"), ..Service::default() };
    container(&mut service, fields, diagnostics);
    service.build = fields.map("build", |section| build(section, diagnostics));
    service.depends_on = dependencies(fields, diagnostics);
    service.expose = fields.texts("expose");
    service.healthcheck = fields.map("healthcheck", |section| healthcheck(section, diagnostics));
    service.ports = ports(fields, diagnostics);
    service.stdin_open = fields.flag("stdin_open", diagnostics);
    service.tty = fields.flag("tty", diagnostics);
    service
}

fn dependencies(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Sorted<ServiceName, Dependency> {
    let mut dependencies = Sorted::new();
    for (name, dependency) in fields.children("depends_on") {
        let condition = match dependency.text("condition").as_str() {
            "service_healthy" => Condition::ServiceHealthy,
            "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
            _ => Condition::ServiceStarted,
        };
        let dependency = Dependency {
            condition,
            restart: dependency.flag("restart", diagnostics),
            required: dependency.optional_flag("required", diagnostics).unwrap_or(true),
            extensions: dependency.extensions(),
        };
        dependencies.insert(name.into(), dependency);
    }
    dependencies
}

fn healthcheck(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Healthcheck {
    let test = match fields.node("test").and_then(Node::as_str) {
        Some(line) => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        None => fields.texts("test"),
    };
    Healthcheck {
        test,
        timeout: fields.duration("timeout", diagnostics),
        interval: fields.duration("interval", diagnostics),
        retries: fields.optional_small("retries", diagnostics),
        start_period: fields.duration("start_period", diagnostics),
        start_interval: fields.duration("start_interval", diagnostics),
        disable: fields.flag("disable", diagnostics),
        extensions: fields.extensions(),
    }
}

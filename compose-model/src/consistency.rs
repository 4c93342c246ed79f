//! Checks that need the whole project: references to what is not declared, attributes that
//! contradict each other, cycles. All mistakes are collected, each at the place that made it.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::names::ServiceName;
use crate::project::{Project, Service};
use crate::tree::Node;

/// What the reference puts behind most of these messages; scripts match on it.
const INVALID: &str = "invalid compose project";

/// Checks the enabled services of a project. `tree` is what it was decoded from.
pub fn check(project: &Project, tree: &Node, diagnostics: &mut Diagnostics) {
    let mut check = Check { project, tree, diagnostics };
    for (name, service) in &project.services {
        check.service(name, service);
    }
    for (name, secret) in &project.secrets {
        if !secret.external && secret.file.is_empty() && secret.environment.is_empty() {
            let message = format!("secret \"{name}\" must declare either `file` or `environment`: {INVALID}");
            check.report("no-source", message, &["secrets", name.as_str()]);
        }
    }
    check.cycles();
}

/// Checks that no two enabled services want one container name.
pub fn check_container_names(project: &Project, tree: &Node, diagnostics: &mut Diagnostics) {
    Check { project, tree, diagnostics }.container_names();
}

struct Check<'a> {
    project: &'a Project,
    tree: &'a Node,
    diagnostics: &'a mut Diagnostics,
}

impl Check<'_> {
    /// The node at a path, or the nearest one above it.
    fn nearest(&self, path: &[&str]) -> &Node {
        let mut node = self.tree;
        for key in path {
            let below = match key.parse::<usize>() {
                Ok(index) => node.as_sequence().and_then(|items| items.get(index)).or_else(|| node.get(key)),
                Err(_) => node.get(key),
            };
            match below {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    fn report(&mut self, code: &'static str, message: String, path: &[&str]) {
        self.report_with_help(code, message, path, None);
    }

    fn report_with_help(&mut self, code: &'static str, message: String, path: &[&str], help: Option<String>) {
        let mut diagnostic = Diagnostic::error(code, message).at_origin(&self.nearest(path).origin);
        // The key points better than the first line of what is below it.
        if let [above @ .., last] = path
            && let Some(entry) = self.nearest(above).as_mapping().and_then(|mapping| mapping.get(*last))
        {
            diagnostic = Diagnostic::error(code, diagnostic.message).at_origin(&entry.key);
        }
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        self.diagnostics.push(diagnostic);
    }

    fn service(&mut self, name: &ServiceName, service: &Service) {
        let name = name.as_str();
        let base = ["services", name];
        if service.build.is_none() && service.image.is_empty() && service.provider.is_none() {
            let message = format!("service \"{name}\" has neither an image nor a build context specified: {INVALID}");
            self.report_with_help("no-image", message, &base, Some("add `image:` or `build:`".to_owned()));
        }
        self.build(name, service);
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message =
                format!("service {name} declares mutually exclusive `network_mode` and `networks`: {INVALID}");
            self.report("exclusive", message, &["services", name, "network_mode"]);
        }
        if let Some(first) = service.healthcheck.as_ref().and_then(|healthcheck| healthcheck.test.first())
            && !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")
        {
            let message = "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\"".to_owned();
            self.report("healthcheck", message, &["services", name, "healthcheck", "test"]);
        }
        self.references(name, service);
        self.contradictions(name, service);
        self.mount_targets(name, service);
    }

    fn build(&mut self, name: &str, service: &Service) {
        let Some(build) = &service.build else { return };
        if !build.dockerfile_inline.is_empty() && !build.dockerfile.is_empty() {
            let message =
                format!("service \"{name}\" declares mutualy exclusive dockerfile and dockerfile_inline: {INVALID}");
            self.report("exclusive", message, &["services", name, "build", "dockerfile_inline"]);
        }
        for (context, source) in &build.additional_contexts {
            let Some(target) = source.strip_prefix("service:") else { continue };
            let known = self.project.services.get(target).or_else(|| self.project.disabled_services.get(target));
            let word = match known {
                None => "unknown",
                Some(service) if service.build.is_none() => "non-buildable",
                Some(_) => continue,
            };
            let message =
                format!("service \"{name}\" declares {word} service \"{target}\" as additional contexts {context}");
            self.report("reference", message, &["services", name, "build", "additional_contexts", context]);
        }
        if !service.platform.is_empty() && !build.platforms.is_empty() && !build.platforms.contains(&service.platform) {
            let message =
                format!("service.build.platforms MUST include service.platform \"{}\": {INVALID}", service.platform);
            self.report("platform", message, &["services", name, "build", "platforms"]);
        }
    }

    fn references(&mut self, name: &str, service: &Service) {
        let project = self.project;
        // With both attributes no implicit network was added; one message is enough.
        for network in service.networks.keys().filter(|_| service.network_mode.is_empty()) {
            if !project.networks.contains_key(network) {
                let known = project.networks.keys().map(AsRef::as_ref);
                self.undefined(name, "network", network.as_str(), &["networks", network.as_str()], known);
            }
        }
        for (dependency, how) in &service.depends_on {
            let disabled = project.disabled_services.contains_key(dependency);
            if project.services.contains_key(dependency) || disabled && !how.required {
                continue;
            }
            let message = format!("service \"{name}\" depends on undefined service \"{dependency}\": {INVALID}");
            let help = if disabled {
                let profiles = project.disabled_services.get(dependency).map(|service| service.profiles.join(", "));
                Some(format!(
                    "it is in an inactive profile ({}); activate it with --profile",
                    profiles.unwrap_or_default()
                ))
            } else {
                closest(dependency.as_str(), project.services.keys().map(AsRef::as_ref))
            };
            self.report_with_help("reference", message, &["services", name, "depends_on", dependency.as_str()], help);
        }
        for (index, mount) in service.volumes.iter().enumerate() {
            let is_named = mount.kind == "volume" && !mount.source.is_empty();
            if is_named && !project.volumes.contains_key(mount.source.as_str()) {
                let known = project.volumes.keys().map(AsRef::as_ref);
                self.undefined(name, "volume", &mount.source, &["volumes", &index.to_string(), "source"], known);
            }
        }
        let secrets = || project.secrets.keys().map(AsRef::as_ref);
        for secret in service.build.iter().flat_map(|build| &build.secrets) {
            if !project.secrets.contains_key(secret.source.as_str()) {
                self.undefined(name, "build secret", &secret.source, &["build", "secrets"], secrets());
            }
        }
        for (index, config) in service.configs.iter().enumerate() {
            if !project.configs.contains_key(config.source.as_str()) {
                let known = project.configs.keys().map(AsRef::as_ref);
                self.undefined(name, "config", &config.source, &["configs", &index.to_string()], known);
            }
        }
        for model in service.models.keys() {
            if !project.models.contains_key(model) {
                let known = project.models.keys().map(String::as_str);
                self.undefined(name, "model", model, &["models", model], known);
            }
        }
        for (index, secret) in service.secrets.iter().enumerate() {
            if !project.secrets.contains_key(secret.source.as_str()) {
                self.undefined(name, "secret", &secret.source, &["secrets", &index.to_string()], secrets());
            }
        }
    }

    fn undefined<'k>(
        &mut self,
        service: &str,
        kind: &str,
        name: &str,
        path: &[&str],
        known: impl Iterator<Item = &'k str>,
    ) {
        let message = format!("service \"{service}\" refers to undefined {kind} {name}: {INVALID}");
        let section = kind.rsplit(' ').next().unwrap_or(kind);
        let help = closest(name, known).unwrap_or_else(|| format!("declare it below the top-level `{section}s:`"));
        let path: Vec<&str> = ["services", service].into_iter().chain(path.iter().copied()).collect();
        self.report_with_help("reference", message, &path, Some(help));
    }

    fn contradictions(&mut self, name: &str, service: &Service) {
        let limits = service.deploy.as_ref().and_then(|deploy| deploy.resources.limits.as_ref());
        let reservations = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
        let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        let mut distinct = |differ: bool, attribute: &str, other: &str| {
            if differ {
                let message =
                    format!("services.{name}: can't set distinct values on '{attribute}' and '{other}': {INVALID}");
                self.report("exclusive", message, &["services", name, attribute]);
            }
        };
        let scale_differs = service.scale.zip(replicas).is_some_and(|(scale, replicas)| scale != replicas);
        distinct(scale_differs, "scale", "deploy.replicas");
        if let Some(limits) = limits {
            // A limit that is not written counts as another one, as soon as there are `limits`.
            let cpus = service.cpus != 0.0 && service.cpus.to_bits() != limits.cpus.to_bits();
            distinct(cpus, "cpus", "deploy.resources.limits.cpus");
            let memory = service.mem_limit.0 != 0 && service.mem_limit != limits.memory;
            distinct(memory, "mem_limit", "deploy.resources.limits.memory");
            let pids = service.pids_limit != 0 && service.pids_limit != limits.pids;
            distinct(pids, "pids_limit", "deploy.resources.limits.pids");
        }
        if let Some(reservations) = reservations {
            let memory = service.mem_reservation.0 != 0 && service.mem_reservation != reservations.memory;
            distinct(memory, "mem_reservation", "deploy.resources.reservations.memory");
        }
        if service.scale.is_some_and(|scale| scale < 0) {
            let message = format!("services.{name}.scale: must be greater than or equal to 0");
            self.report("scale", message, &["services", name, "scale"]);
        }
        if replicas.is_some_and(|replicas| replicas < 0) {
            let message = format!("services.{name}.deploy.replicas: must be greater than or equal to 0");
            self.report("scale", message, &["services", name, "deploy", "replicas"]);
        }
        if service.replicas() > 1 && !service.container_name.is_empty() {
            let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
            let message = format!(
                "services.{attribute}: can't set container_name and {} as container name must be unique: {INVALID}",
                service.container_name
            );
            let help = format!("remove `container_name` of `{name}`, or run one container of it");
            self.report_with_help("scale", message, &["services", name, "container_name"], Some(help));
        }
        for (index, watch) in service.develop.iter().flat_map(|develop| &develop.watch).enumerate() {
            if watch.target.is_empty() && !matches!(watch.action.as_str(), "rebuild" | "restart") {
                let message =
                    format!("services.{name}.develop.watch: target is required for non-rebuild actions: {INVALID}");
                self.report("watch", message, &["services", name, "develop", "watch", &index.to_string()]);
            }
        }
    }

    fn mount_targets(&mut self, name: &str, service: &Service) {
        let mut taken: BTreeMap<&str, String> = BTreeMap::new();
        let tmpfs = service.tmpfs.iter().map(|tmpfs| tmpfs.split(':').next().unwrap_or_default());
        let volumes = service.volumes.iter().map(|mount| mount.target.as_str());
        let all = tmpfs.enumerate().map(|(index, target)| ("tmpfs", index, target));
        let all = all.chain(volumes.enumerate().map(|(index, target)| ("volumes", index, target)));
        for (attribute, index, target) in all {
            let place = format!("services.{name}.{attribute}[{index}]");
            if let Some(first) = taken.get(target) {
                let message = format!("{place}: target {target} already mounted as {first}");
                self.report("mount", message, &["services", name, attribute, &index.to_string()]);
            } else {
                taken.insert(target, place);
            }
        }
    }

    /// Reports the first cycle in the order of names, as the reference does.
    fn cycles(&mut self) {
        let mut done: std::collections::BTreeSet<&ServiceName> = std::collections::BTreeSet::new();
        let services = &self.project.services;
        for start in services.keys() {
            if done.contains(start) {
                continue;
            }
            let mut path: Vec<&ServiceName> = vec![start];
            let mut open = vec![services.get(start).map(|service| service.depends_on.keys()).into_iter().flatten()];
            while let Some(below) = open.last_mut() {
                let Some(next) = below.next() else {
                    open.pop();
                    done.extend(path.pop());
                    continue;
                };
                if let Some(index) = path.iter().position(|name| *name == next) {
                    let chain: Vec<&str> =
                        path[index..].iter().map(|name| name.as_str()).chain([next.as_str()]).collect();
                    let message = format!("dependency cycle detected: {}", chain.join(" -> "));
                    let last = path.last().map(|name| name.as_str()).unwrap_or_default();
                    self.report("cycle", message, &["services", last, "depends_on", next.as_str()]);
                    return;
                }
                if done.contains(next) {
                    continue;
                }
                if let Some(service) = services.get(next) {
                    path.push(next);
                    open.push(Some(service.depends_on.keys()).into_iter().flatten());
                }
            }
        }
    }

    fn container_names(&mut self) {
        let mut taken: BTreeMap<&str, &ServiceName> = BTreeMap::new();
        let project = self.project;
        for (name, service) in &project.services {
            if service.container_name.is_empty() {
                continue;
            }
            if let Some(other) = taken.insert(&service.container_name, name) {
                let message = format!(
                    "services.{name}: container name \"{}\" is already in use by service {other}",
                    service.container_name
                );
                self.report("container-name", message, &["services", name.as_str(), "container_name"]);
            }
        }
    }
}

fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    crate::diagnostic::closest(name, known).map(|candidate| format!("did you mean `{candidate}`?"))
}

//! `pull`, `push` and `build`.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ImageRef, ServiceName};
use compose_model::project::SshKey;

use super::images::{self, Policy};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{Build, Pull, Push};
use crate::op::{Op, OpId};
use crate::plan::Note;
use crate::reason::Reason;
use crate::select;
use crate::world::World;

pub(crate) fn pull(world: &World<'_>, draft: &mut Draft, pull: &Pull) -> Result<(), PlanError> {
    let scope = select::in_order(world.project, &pull.services, pull.include_dependencies)?;
    able(world)?;
    // Image and platform: the services, and whether a failure of all of them may pass.
    let mut wanted: BTreeMap<(ImageRef, String), (Vec<ServiceName>, bool)> = BTreeMap::new();
    for service in scope.iter().filter_map(|name| world.service(name)) {
        if service.provider.is_some() {
            continue;
        }
        if service.image.is_empty() {
            let why = "No image to be pulled".to_owned();
            draft.notes.push(Note::Skipped { what: service.name.to_string(), why });
            continue;
        }
        let image = world.image_reference(service);
        let skipped = |why: &str| Note::Skipped { what: format!("Image {image}"), why: why.to_owned() };
        // A policy that is not written asks the registry here, other than in `up`.
        let unset = pull.policy.is_none() && service.pull_policy.is_empty();
        match images::policy(service, pull.policy) {
            Policy::Never | Policy::Build => {
                draft.notes.push(skipped("its pull policy says so"));
                continue;
            }
            Policy::Missing if !unset && !is_latest(image.as_str()) && world.image(&image).is_some() => {
                draft.notes.push(skipped("Image is already present locally"));
                continue;
            }
            _ => {}
        }
        if service.build.is_some() && pull.ignore_buildable {
            draft.notes.push(skipped("Image can be built"));
            continue;
        }
        let entry = wanted.entry((image, service.platform.clone())).or_insert_with(|| (Vec::new(), true));
        entry.0.push(service.name.clone());
        entry.1 &= pull.ignore_failures;
    }
    for ((image, platform), (services, optional)) in wanted {
        let target = if platform.is_empty() { image.to_string() } else { format!("{image}@{platform}") };
        let place = services.first().and_then(|name| world.place(name, "image"));
        let op = Op::Pull { image, platform, services, optional, place };
        draft.add(OpId::new("pull", target), op, Reason::Requested { by: "pull".to_owned() }, None);
    }
    Ok(())
}

/// Whether the tag is `latest`, written or not: whoever pulls it wants the newest.
fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !last.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

pub(crate) fn push(world: &World<'_>, draft: &mut Draft, push: &Push) -> Result<(), PlanError> {
    let scope = select::in_order(world.project, &push.services, push.include_dependencies)?;
    able(world)?;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for service in scope.iter().filter_map(|name| world.service(name)) {
        let Some(build) = service.build.as_ref().filter(|_| !service.image.is_empty()) else {
            let why = if service.build.is_none() { "it has no build section" } else { "its image has no name" };
            draft.notes.push(Note::Skipped { what: service.name.to_string(), why: why.to_owned() });
            continue;
        };
        for image in std::iter::once(&service.image).chain(&build.tags) {
            if seen.insert(image.clone()) {
                let op = Op::Push { image: image.as_str().into(), optional: push.ignore_failures };
                let because = Reason::Requested { by: "push".to_owned() };
                draft.add(OpId::new("push", image), op, because, Some(&service.name));
            }
        }
    }
    Ok(())
}

pub(crate) fn build(world: &World<'_>, draft: &mut Draft, build: &Build) -> Result<(), PlanError> {
    let mut scope = select::in_order(world.project, &build.services, build.with_dependencies)?;
    // What a build starts from is built before it, named or not.
    let mut open: Vec<ServiceName> = scope.clone();
    while let Some(name) = open.pop() {
        for other in world.service(&name).map(images::built_from).unwrap_or_default() {
            if !scope.contains(&other) && world.service(&other).is_some() {
                scope.push(other.clone());
                open.push(other);
            }
        }
    }
    let because = Reason::Requested { by: "build".to_owned() };
    for service in scope.iter().filter_map(|name| world.service(name)) {
        if service.build.is_none() {
            continue;
        }
        images::build_step(world, draft, service, because.clone(), |spec| {
            spec.build.no_cache |= build.no_cache;
            spec.build.pull |= build.pull;
            spec.build.args.extend(build.arguments.clone());
            spec.build.ssh.extend(build.ssh.iter().map(|text| {
                let (id, path) = text.split_once('=').unwrap_or((text, ""));
                SshKey { id: id.to_owned(), path: path.to_owned() }
            }));
            spec.push = build.push && !service.image.is_empty();
            spec.quiet = build.quiet;
            spec.memory = build.memory;
            spec.builder.clone_from(&build.builder);
            spec.check = build.check;
            spec.provenance.clone_from(&build.provenance);
            spec.sbom.clone_from(&build.sbom);
        })?;
    }
    for service in scope.iter().filter_map(|name| world.service(name)) {
        for other in images::built_from(service) {
            let before = OpId::new("build", &other);
            if draft.has(&before) {
                draft.after(&OpId::new("build", &service.name), &before);
            }
        }
    }
    if draft.is_empty() {
        draft.warn("No services to build");
    }
    Ok(())
}

fn able(world: &World<'_>) -> Result<(), PlanError> {
    if world.capabilities.registry {
        Ok(())
    } else {
        Err(PlanError::Unsupported {
            engine: world.capabilities.engine.clone(),
            what: "pull and push images".to_owned(),
        })
    }
}

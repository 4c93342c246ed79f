//! Images: which are pulled or built before containers are made.

use std::collections::BTreeMap;

use compose_model::names::{ImageRef, ServiceName};
use compose_model::project::Service;
use compose_model::units::Duration;

use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{BuildPolicy, PullPolicy};
use crate::lower;
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::world::World;

/// When a service's image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    Missing,
    Never,
    Build,
    /// Pull when older than so many seconds.
    Refresh(i64),
}

/// The flag, else `pull_policy`.
pub(crate) fn policy(service: &Service, flag: Option<PullPolicy>) -> Policy {
    match flag {
        Some(PullPolicy::Always) => return Policy::Always,
        Some(PullPolicy::Missing) => return Policy::Missing,
        Some(PullPolicy::Never) => return Policy::Never,
        Some(PullPolicy::Build) => return Policy::Build,
        None => {}
    }
    const DAY: i64 = 86_400;
    let age = |text: &str| Duration::parse(text).map_or(DAY, |length| length.0 / 1_000_000_000);
    match service.pull_policy.as_str() {
        "always" => Policy::Always,
        "never" => Policy::Never,
        "build" => Policy::Build,
        "daily" => Policy::Refresh(DAY),
        "weekly" => Policy::Refresh(7 * DAY),
        "refresh" => Policy::Refresh(service.pull_refresh_after.as_deref().map_or(DAY, age)),
        other => other.strip_prefix("every_").map_or(Policy::Missing, |text| Policy::Refresh(age(text))),
    }
}

/// What the flags say about images.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) build: BuildPolicy,
    pub(crate) pull: Option<PullPolicy>,
    pub(crate) now: Option<i64>,
}

/// The steps that have to be done before a container of a service can be made.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// By service.
    pub(crate) steps: BTreeMap<ServiceName, Vec<OpId>>,
}

/// Plans the images of `services`.
pub(crate) fn plan(
    world: &World<'_>,
    draft: &mut Draft,
    services: &[ServiceName],
    wishes: Wishes,
) -> Result<Images, PlanError> {
    let mut images = Images::default();
    let mut pulls: BTreeMap<(ImageRef, String), Pulled> = BTreeMap::new();
    let mut builds: Vec<(&Service, bool, Reason)> = Vec::new();
    for name in services {
        let Some(service) = world.service(name) else { continue };
        if service.provider.is_some() {
            continue;
        }
        let reference = world.image_reference(service);
        let image = world.image(&reference);
        let policy = policy(service, wishes.pull);
        let buildable = service.build.is_some() && wishes.build != BuildPolicy::Never;
        let build_now = match (buildable, wishes.build, policy) {
            (false, _, _) => None,
            (true, BuildPolicy::Always, _) => Some(Reason::Requested { by: "--build".to_owned() }),
            (true, _, Policy::Build) => Some(Reason::Requested { by: "pull_policy build".to_owned() }),
            _ => None,
        };
        if let Some(because) = build_now {
            builds.push((service, false, because));
            mounted(world, service, &mut pulls);
            continue;
        }
        let pull = if service.image.is_empty() {
            None
        } else {
            match (policy, image) {
                (Policy::Always, Some(_)) => Some(Reason::Requested { by: "pull policy always".to_owned() }),
                (Policy::Refresh(age), Some(image))
                    if wishes.now.is_some_and(|now| now.saturating_sub(image.created) >= age) =>
                {
                    Some(Reason::Stale)
                }
                (Policy::Always | Policy::Missing | Policy::Refresh(_), None) => Some(Reason::Missing),
                _ => None,
            }
        };
        if image.is_none() && pull.is_none() && !buildable {
            return Err(PlanError::NoSuchImage {
                image: reference,
                service: name.clone(),
                place: world.place(name, "image"),
            });
        }
        let tried = pull.is_some();
        if let Some(because) = pull {
            let key = (reference, service.platform.clone());
            let entry = pulls.entry(key).or_insert_with(|| Pulled {
                services: Vec::new(),
                optional: true,
                place: world.place(name, "image"),
                because,
            });
            entry.services.push(name.clone());
            entry.optional &= buildable;
        }
        if buildable && image.is_none() {
            builds.push((service, tried, Reason::Missing));
        }
        mounted(world, service, &mut pulls);
    }
    for ((image, platform), pulled) in pulls {
        if !world.capabilities.registry {
            return Err(PlanError::Unsupported {
                engine: world.capabilities.engine.clone(),
                what: format!("pull images ({image})"),
            });
        }
        let target = if platform.is_empty() { image.to_string() } else { format!("{image}@{platform}") };
        let op = Op::Pull {
            image,
            platform,
            services: pulled.services.clone(),
            optional: pulled.optional,
            place: pulled.place,
        };
        let id = draft.add(OpId::new("pull", target), op, pulled.because, None);
        for service in pulled.services {
            images.steps.entry(service).or_default().push(id.clone());
        }
    }
    let built: Vec<ServiceName> = builds.iter().map(|(service, ..)| service.name.clone()).collect();
    for (service, only_if_missing, because) in builds {
        let id = build_step(world, draft, service, because, |spec| spec.only_if_missing = only_if_missing)?;
        let before = images.steps.entry(service.name.clone()).or_default();
        draft.after_all(&id, before.iter());
        before.push(id.clone());
        for other in built_from(service) {
            if built.contains(&other) {
                draft.after(&id, &OpId::new("build", &other));
            }
        }
    }
    Ok(images)
}

/// One image to pull.
struct Pulled {
    services: Vec<ServiceName>,
    optional: bool,
    place: Option<compose_model::project::Place>,
    because: Reason,
}

/// Images that are mounted must be there as well.
fn mounted(world: &World<'_>, service: &Service, pulls: &mut BTreeMap<(ImageRef, String), Pulled>) {
    for (_, image) in lower::mounted_images(service) {
        if world.image(&image).is_some() {
            continue;
        }
        let entry = pulls.entry((image, String::new())).or_insert_with(|| Pulled {
            services: Vec::new(),
            optional: false,
            place: world.place(&service.name, "volumes"),
            because: Reason::Missing,
        });
        entry.optional = false;
        entry.services.push(service.name.clone());
    }
}

/// Adds the step that builds a service's image.
pub(crate) fn build_step(
    world: &World<'_>,
    draft: &mut Draft,
    service: &Service,
    because: Reason,
    adjust: impl FnOnce(&mut crate::spec::BuildSpec),
) -> Result<OpId, PlanError> {
    if !world.capabilities.build {
        let why = match world.capabilities.build_refusal.as_str() {
            "" => "there is no builder",
            why => why,
        };
        return Err(PlanError::Unsupported {
            engine: world.capabilities.engine.clone(),
            what: format!("build images (service {:?}): {why}", service.name.as_str()),
        });
    }
    let build = service.build.clone().unwrap_or_default();
    let mut spec = lower::build(world, service, &build);
    adjust(&mut spec);
    let op = Op::Build { spec: Box::new(spec) };
    Ok(draft.add(OpId::new("build", &service.name), op, because, Some(&service.name)))
}

/// Services whose images a build starts from.
pub(crate) fn built_from(service: &Service) -> Vec<ServiceName> {
    let contexts = service.build.iter().flat_map(|build| build.additional_contexts.values());
    contexts.filter_map(|value| value.strip_prefix("service:").map(ServiceName::from)).collect()
}

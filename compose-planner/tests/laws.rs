//! Laws over generated projects: every plan is sound; planning again after it is empty; stopped
//! after any step of any plan, the next run ends where an undisturbed one would have ended.

mod support;

use std::collections::BTreeMap;

use compose_model::project::{Condition, Dependency, Hook, Mount, Network, PreStartHook, Project, Service, Volume};
use compose_planner::intent::{Down, Up};
use compose_planner::observed::Observed;
use compose_planner::{Capabilities, Intent, Plan};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{after, checked, images, state};

/// A service of a generated project; indexes point to other services and are taken modulo.
#[derive(Clone, Debug)]
struct Wish {
    value: u8,
    replicas: u8,
    needs: Vec<(u8, u8, bool)>,
    shares: Option<u8>,
    networks: u8,
    named_volume: bool,
    anonymous_volume: bool,
    hooks: bool,
    present: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.85));
    (
        0..3_u8,
        0..4_u8,
        vec((any::<u8>(), 0..3_u8, any::<bool>()), 0..3),
        prop::option::weighted(0.15, any::<u8>()),
        0..3_u8,
        flags,
    )
        .prop_map(
            |(value, replicas, needs, shares, networks, (named_volume, anonymous_volume, hooks, present))| Wish {
                value,
                replicas,
                needs,
                shares,
                networks,
                named_volume,
                anonymous_volume,
                hooks,
                present,
            },
        )
}

/// Services `s0`, `s1`, ...; each depends on earlier ones only.
fn project(wishes: &[Wish], internal: bool, labelled: bool) -> Project {
    let mut project = Project {
        name: "shop".into(),
        working_directory: "/shop".to_owned(),
        files: vec!["/shop/compose.yaml".to_owned()],
        ..Project::default()
    };
    for (index, wish) in wishes.iter().enumerate() {
        if !wish.present {
            continue;
        }
        let name = format!("s{index}");
        let mut service = Service { name: name.as_str().into(), image: "app".to_owned(), ..Service::default() };
        service.environment.insert("VALUE".to_owned(), Some(wish.value.to_string()));
        service.scale = Some(i64::from(wish.replicas));
        let earlier: Vec<String> = project.services.keys().map(ToString::to_string).collect();
        for (other, condition, restart) in &wish.needs {
            let Some(other) = earlier.get(usize::from(*other) % earlier.len().max(1)) else { continue };
            let condition = match condition {
                0 => Condition::ServiceStarted,
                1 => Condition::ServiceHealthy,
                _ => Condition::ServiceCompletedSuccessfully,
            };
            let terms = Dependency { condition, restart: *restart, ..Dependency::default() };
            service.depends_on.insert(other.as_str().into(), terms);
        }
        let shared = wish.shares.and_then(|other| earlier.get(usize::from(other) % earlier.len().max(1)));
        match shared {
            Some(other) if project.services.get(other.as_str()).is_some_and(|other| other.replicas() > 0) => {
                service.network_mode = format!("service:{other}");
            }
            _ => {
                for (bit, key) in [(0, "front"), (1, "back")] {
                    if wish.networks >= bit {
                        service.networks.insert(key.into(), None);
                    }
                }
            }
        }
        let mount = |source: &str, target: &str| Mount {
            kind: "volume".to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            ..Mount::default()
        };
        if wish.named_volume {
            service.volumes.push(mount("data", "/data"));
        }
        if wish.anonymous_volume {
            service.volumes.push(mount("", "/cache"));
        }
        if wish.hooks {
            let hook = Service { command: Some(vec!["prepare".to_owned()]), ..Service::default() };
            service.pre_start.push(PreStartHook { service: Box::new(hook), ..PreStartHook::default() });
            service.pre_stop.push(Hook { command: Some(vec!["drain".to_owned()]), ..Hook::default() });
        }
        project.services.insert(name.into(), service);
    }
    for key in ["front", "back"] {
        let network =
            Network { name: format!("shop_{key}"), internal: internal && key == "back", ..Network::default() };
        project.networks.insert(key.into(), network);
    }
    let labels = if labelled { BTreeMap::from([("x".to_owned(), "y".to_owned())]) } else { BTreeMap::new() };
    project.volumes.insert("data".into(), Volume { name: "shop_data".to_owned(), labels, ..Volume::default() });
    project
}

fn capabilities(rename: bool, networks_at_create: bool) -> Capabilities {
    Capabilities { rename, networks_at_create, ..Capabilities::everything("docker") }
}

fn up() -> Intent {
    Intent::Up(Up {
        remove_orphans: true,
        keep_completed_jobs: true,
        consent_volumes: ["shop_data".to_owned()].into(),
        ..Up::default()
    })
}

fn planned(project: &Project, observed: &Observed, capabilities: &Capabilities, intent: &Intent) -> Plan {
    checked(project, observed, intent, capabilities).expect("a plan")
}

fn done(observed: &Observed, plan: &Plan) -> Observed {
    after(observed, plan, usize::MAX)
}

/// Time passes: jobs that run come to their end.
fn settled(project: &Project, mut observed: Observed) -> Observed {
    for (name, terms) in project.services.values().flat_map(|service| &service.depends_on) {
        if terms.condition != Condition::ServiceCompletedSuccessfully {
            continue;
        }
        for container in observed.containers.iter_mut().filter(|container| container.service == *name) {
            if container.state.is_up() {
                container.state = compose_planner::observed::State::Exited;
                container.exit_code = Some(0);
            }
        }
    }
    observed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_again_after_up_is_empty(
        wishes in vec(wish(), 1..6),
        changed in vec(wish(), 1..6),
        rename: bool, at_create: bool, internal: bool, labelled: bool,
    ) {
        let capabilities = capabilities(rename, at_create);
        let first = project(&wishes, false, false);
        let second = project(&changed, internal, labelled);
        prop_assume!(!first.services.is_empty() && !second.services.is_empty());
        let mut observed = images(&first);
        observed.images.extend(images(&second).images);
        for project in [&first, &second, &first] {
            let plan = planned(project, &observed, &capabilities, &up());
            observed = done(&observed, &plan);
            let again = planned(project, &observed, &capabilities, &up());
            prop_assert!(again.is_empty(), "{}\nafter\n{}", compose_planner::text::text(&again), compose_planner::text::text(&plan));
        }
        let down = Intent::Down(Down { volumes: true, remove_orphans: true, ..Down::default() });
        let plan = planned(&first, &observed, &capabilities, &down);
        observed = done(&observed, &plan);
        prop_assert_eq!(state(&observed), "");
    }

    #[test]
    fn a_run_that_was_stopped_anywhere_is_finished_by_the_next(
        wishes in vec(wish(), 1..5),
        changed in vec(wish(), 1..5),
        rename: bool, at_create: bool, internal: bool, labelled: bool,
    ) {
        let capabilities = capabilities(rename, at_create);
        let first = project(&wishes, false, false);
        let second = project(&changed, internal, labelled);
        prop_assume!(!first.services.is_empty() && !second.services.is_empty());
        let mut observed = images(&first);
        observed.images.extend(images(&second).images);
        let plan = planned(&first, &observed, &capabilities, &up());
        let observed = done(&observed, &plan);
        let plan = planned(&second, &observed, &capabilities, &up());
        let undisturbed = state(&settled(&second, done(&observed, &plan)));
        for steps in 0..=plan.steps.len() {
            let stopped = after(&observed, &plan, steps);
            let finish = planned(&second, &stopped, &capabilities, &up());
            let finished = settled(&second, done(&stopped, &finish));
            prop_assert_eq!(
                &state(&finished), &undisturbed,
                "after {} steps of\n{}\nthen\n{}", steps, compose_planner::text::text(&plan), compose_planner::text::text(&finish)
            );
            let again = planned(&second, &finished, &capabilities, &up());
            prop_assert!(again.is_empty(), "{}", compose_planner::text::text(&again));
            // Or the file goes back to what it was.
            let back = planned(&first, &stopped, &capabilities, &up());
            let again = planned(&first, &done(&stopped, &back), &capabilities, &up());
            prop_assert!(again.is_empty(), "{}", compose_planner::text::text(&again));
        }
    }
}

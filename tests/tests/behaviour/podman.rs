//! The cases that do not pass on Podman 4.3, and why: what Podman's Docker-compatible service does
//! otherwise. `cargo xtask cases` makes docs/cases-on-podman.md of it.

/// A case's name, and what is different.
pub(crate) const DIFFERENT: &[(&str, &str)] = &[
    ("attributes::foreign_containers_are_reached_and_shared", LINKS),
    ("attributes::links_on_the_own_network_of_the_engine_find_their_container", LINKS),
    ("attributes::the_engine_gets_what_few_ask_for", "an inspection does not tell the address that was asked for"),
    ("bridge::bridge_lists_transformations_and_copies_their_templates", LONG_NAMES),
    ("building::several_services_are_built_and_a_failure_names_its_own", "buildx has to pull an image with BuildKit"),
    (
        "by_hand::what_was_changed_by_hand_is_seen_and_undone",
        "it has no `docker update`, which the case changes things with",
    ),
    ("chapter::three_replicas_answer_behind_one_rotating_name", ORDER),
    ("chapter_commands::every_everyday_command_of_the_readme_works", PLAIN_REGISTRY),
    ("chapter_commands::every_line_of_the_chapters_list_works", PLAIN_REGISTRY),
    ("confinement::an_init_process_runs_the_program", "the init process has another name"),
    ("confinement::images_are_mounted", "needs API 1.48; Podman has 1.41"),
    ("confinement::parts_of_volumes_are_mounted_and_links_stay_inside", "needs API 1.45; Podman has 1.41"),
    (
        "confinement::system_calls_are_filtered_as_the_file_says",
        "it wants the path of a seccomp profile, not its content",
    ),
    ("interoperability::containers_of_every_kind_change_hands_without_a_recreation", REFERENCE),
    ("interoperability::mounts_of_every_kind_change_hands_without_a_recreation", REFERENCE),
    ("interoperability::networks_of_every_kind_change_hands_without_a_recreation", REFERENCE),
    ("interoperability::our_projects_are_left_alone_by_the_reference_and_removed", REFERENCE),
    ("interoperability::the_applications_of_the_chapter_change_hands_without_a_recreation", REFERENCE),
    ("networks::changed_network_is_replaced_and_containers_stay", NAMES_FOR_IDS),
    ("networks::internal_and_second_networks_are_connected", "the network mode that it tells is always `bridge`"),
    ("networks::network_mode_of_a_service_is_shared", DEPENDENTS),
    (
        "networks::port_already_allocated_points_to_the_line",
        "it has other words for a port that is taken; the line is shown",
    ),
    ("networks::replicas_share_one_name_with_all_addresses", ORDER),
    ("parity::a_crash_loop_is_told_with_its_last_words", "it does not tell that a container is restarting"),
    ("parity::labels_of_host_directories_reach_the_engine", "it does not tell the SELinux label of a host directory"),
    ("parity::shared_volumes_and_namespaces_follow_their_giver", DEPENDENTS),
    ("registry::credentials_come_from_helpers", PLAIN_REGISTRY),
    ("registry::credentials_come_from_the_configuration", PLAIN_REGISTRY),
    ("registry::failures_are_told_and_may_be_ignored", PLAIN_REGISTRY),
    ("registry::pull_and_up_bring_images_as_their_policies_say", PLAIN_REGISTRY),
    ("registry::push_takes_what_is_built_to_the_registry", PLAIN_REGISTRY),
    (
        "robustness::containers_may_vanish_while_they_are_followed",
        "the exit code goes with a container that is removed",
    ),
    ("seeing::a_file_is_made_of_containers_and_runs", LONG_NAMES),
    ("sharing::a_network_made_by_hand_is_used_and_kept", NAMES_FOR_IDS),
    ("terminal::attach_detaches_by_keys_and_gives_the_exit_code", "it hears the detach keys only in its own client"),
    ("terminal::ctrl_c_stops_and_a_second_one_kills", "it tells `stopping` for a moment"),
    ("volumes::bind_source_that_must_exist_is_named", "it makes a directory that must be there already"),
];

const DEPENDENTS: &str = "a container whose network or process namespace others use cannot be removed before them";
const LINKS: &str = "it has no links";
const LONG_NAMES: &str = "it tells images by their long names (`docker.io/library/busybox`)";
const NAMES_FOR_IDS: &str = "an inspection tells networks by name, where the case looks for ids";
const ORDER: &str = "its name server gives all addresses, always in the same order";
const PLAIN_REGISTRY: &str = "a registry without TLS has to be named in registries.conf";
const REFERENCE: &str = "the reference replaces every container there at every `up`";

/// Why a case is not run there.
pub(crate) fn difference(case: &str) -> Option<&'static str> {
    DIFFERENT.iter().find(|(name, _)| *name == case).map(|(_, why)| *why)
}

//! Why there is no plan: mistakes that are known before anything runs, in the reference's words.

use compose_model::names::{ImageRef, ServiceName};
use compose_model::project::Place;
use thiserror::Error;

/// Where a mistake is written, for the end of a message; empty when it is not in a file.
fn at(place: Option<&Place>) -> String {
    place.map(|place| format!("\n  at {place}")).unwrap_or_default()
}

/// A request that cannot be planned. Nothing has been done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A service was named that the project does not have.
    #[error("no such service: {service}")]
    NoSuchService {
        /// The name, as given.
        service: ServiceName,
    },
    /// Nothing is enabled.
    #[error("no service selected")]
    NoServiceSelected,
    /// `start` of a service that was never created.
    #[error("service {:?} has no container to start", .service.as_str())]
    NoContainerToStart {
        /// The service.
        service: ServiceName,
    },
    /// An external network is not there.
    #[error("network {name} declared as external, but could not be found{}", at(.place.as_ref()))]
    ExternalNetworkNotFound {
        /// Its name in the engine.
        name: String,
        /// Where it is declared.
        place: Option<Place>,
    },
    /// An external volume is not there.
    #[error("external volume {name:?} not found{}", at(.place.as_ref()))]
    ExternalVolumeNotFound {
        /// Its name in the engine.
        name: String,
        /// Where it is declared.
        place: Option<Place>,
    },
    /// A service refers to a network, volume, secret or config that the project does not have.
    #[error("service {:?} refers to undefined {kind} {name}{}", .service.as_str(), at(.place.as_ref()))]
    Undefined {
        /// The service.
        service: ServiceName,
        /// `network`, `volume`, `secret`, `config`.
        kind: &'static str,
        /// The key.
        name: String,
        /// Where it is used.
        place: Option<Place>,
    },
    /// What a service publishes is no port of a host.
    #[error("service {:?}: invalid published port {published:?}{}", .service.as_str(), at(.place.as_ref()))]
    InvalidPublishedPort {
        /// The service.
        service: ServiceName,
        /// As it is written.
        published: String,
        /// Where.
        place: Option<Place>,
    },
    /// More than one replica of a service with a name of its own.
    #[error(
        "The {:?} service is using the custom container name {name:?}. Docker requires each container to have a \
         unique name. Remove the custom name to scale the service{}",
        .service.as_str(), at(.place.as_ref())
    )]
    CustomNameScaled {
        /// The service.
        service: ServiceName,
        /// Its `container_name`.
        name: String,
        /// Where the name is written.
        place: Option<Place>,
    },
    /// Two services want one container name.
    #[error("services.{second}: container name {name:?} is already in use by service {first}{}", at(.place.as_ref()))]
    ContainerNameTaken {
        /// The service that has it.
        first: ServiceName,
        /// The service that wants it too.
        second: ServiceName,
        /// The name.
        name: String,
        /// Where it is written the second time.
        place: Option<Place>,
    },
    /// A one-off is to have the name of a container that is there.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The identity of the container that has it.
        holder: String,
    },
    /// `start` of a service whose `pre_start` hooks ran before an earlier start.
    #[error(
        "service {:?} pre_start[0]: `start` does not run hooks again that have run before; run `docker compose up \
         {service}`, which starts it",
        .service.as_str()
    )]
    HooksHaveRun {
        /// The service.
        service: ServiceName,
    },
    /// The dependencies of services form a cycle.
    #[error("dependency cycle detected: {}", .path.join(" -> "))]
    DependencyCycle {
        /// The services on it, the first one repeated at the end.
        path: Vec<String>,
    },
    /// The engine cannot honour an attribute.
    #[error("service {:?}: {engine} cannot honour {attribute:?}: {reason}{}", .service.as_str(), at(.place.as_ref()))]
    Refused {
        /// The service.
        service: ServiceName,
        /// The backend.
        engine: Box<str>,
        /// The attribute, as in the file.
        attribute: Box<str>,
        /// Why, and what to do instead.
        reason: Box<str>,
        /// Where it is written.
        place: Option<Place>,
    },
    /// The engine cannot do what the verb needs.
    #[error("{engine} cannot {what}")]
    Unsupported {
        /// The backend.
        engine: String,
        /// `build images`, `pause containers`.
        what: String,
    },
    /// An image is missing and may be neither pulled nor built.
    #[error("No such image: {image} (service {:?}){}", .service.as_str(), at(.place.as_ref()))]
    NoSuchImage {
        /// The image.
        image: ImageRef,
        /// The service that needs it.
        service: ServiceName,
        /// Where it is named.
        place: Option<Place>,
    },
    /// A provider service cannot be run once.
    #[error("service {:?} is run by a provider and has no container", .service.as_str())]
    ProviderHasNoContainer {
        /// The service.
        service: ServiceName,
    },
    /// Nothing here starts jobs by a clock.
    #[error("scheduled jobs are not supported in this version: {names}")]
    ScheduledJobs {
        /// Their names.
        names: String,
    },
    /// A shorter interval between health checks holds for a time that has to be given.
    #[error("healthcheck.start_interval requires healthcheck.start_period to be set (service {:?}){}", .service.as_str(), at(.place.as_ref()))]
    StartIntervalAlone {
        /// The service.
        service: ServiceName,
        /// Where it is asked for.
        place: Option<Place>,
    },
    /// A service uses a model, and nothing serves models.
    #[error("'models' support requires Docker Model plugin{}", at(.place.as_ref()))]
    NoModelRunner {
        /// Where the model is used.
        place: Option<Place>,
    },
    /// A service shares a namespace with one that has no container and gets none.
    #[error("service {:?} cannot share {what} with service {}: container missing{}", .service.as_str(), .other.as_str(), at(.place.as_ref()))]
    NoContainerToShare {
        /// The service.
        service: ServiceName,
        /// What is shared: `volume`, `network namespace`.
        what: &'static str,
        /// The service whose container it needs.
        other: ServiceName,
        /// Where it is asked for.
        place: Option<Place>,
    },
    /// An attribute has a form that no engine can be told.
    #[error("service {:?}: {attribute}: {problem}{}", .service.as_str(), at(.place.as_ref()))]
    Invalid {
        /// The service.
        service: ServiceName,
        /// The attribute.
        attribute: String,
        /// What is wrong.
        problem: String,
        /// Where it is written.
        place: Option<Place>,
    },
}

=== file
services:
  vpn: {image: vpn}
  app: {image: app, network_mode: "service:vpn", volumes_from: [vpn]}
> up
> up
> up --force-recreate vpn
> up
state
> up --force-recreate --no-deps vpn
> up
# Another service that has nothing to do with it stays alone.
=== file
services:
  vpn: {image: vpn, environment: {A: "1"}}
  app: {image: app, network_mode: "service:vpn", environment: {B: "1"}}
  other: {image: other}
> up vpn
> up

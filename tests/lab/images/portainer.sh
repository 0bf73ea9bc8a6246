# shellcheck shell=sh disable=SC2154
# portainer.tar  two STAND-INS on one layer, with no shell, as the real images have none:
#                lab/portainer-stand-in:2 for Portainer's server: its flags for a swarm's agents,
#                the login of its administrator, its environment with as many nodes as agents
#                answer. No page but a line that says so, no proxy to Docker.
#                lab/portainer-agent-stand-in:2 for its agent: it asks its Docker who it is, and
#                answers /ping on port 9001 with a certificate that it signs itself.
# packages: ruby
root=$work/portainer/root
skeleton "$root"
ruby "$root"
libraries "$root"
scripts "$root/opt/stand-in" gitlab/wire.rb
scripts "$root" portainer/portainer
scripts "$root/app" portainer/agent
layer "$root" "$work/portainer/layer.tar" 0 755 data
image "$work/portainer/archive" "$work/portainer/layer.tar" lab/portainer-stand-in:2 \
    "$path,\"LANG=C.UTF-8\"],\"WorkingDir\":\"/\",\"Entrypoint\":[\"/portainer\"],\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"8000/tcp\":{},\"9000/tcp\":{},\"9443/tcp\":{}}"
image "$work/portainer/archive" "$work/portainer/layer.tar" lab/portainer-agent-stand-in:2 \
    "$path,\"LANG=C.UTF-8\"],\"WorkingDir\":\"/app\",\"Entrypoint\":[\"./agent\"],\"ExposedPorts\":{\"9001/tcp\":{}}"
archive "$work/portainer/archive" portainer.tar

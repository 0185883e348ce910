#!/bin/bash
# Stands in for KubeFATE's generate_config.sh in the tests, which use no network; upstream's text is not
# ours to keep. Written for these tests; it does what the role relies on: reads .env and parties.conf, wipes outputs/,
# writes outputs/confs-<id>.tar and outputs/serving-<id>.tar (gzip inside), a compose file and configuration in each,
# and ends with status 0 even where it wrote nothing. It fails for party 13 and gives party 14 a wrong route.
set -e
cd "$(dirname "$0")"
source .env
source parties.conf
rm -rf outputs
mkdir outputs
flow=fateflow federation_service=osx
if [ -n "$backend" ]; then flow=python federation_service=rollsite; fi

route() { # ids and addresses of the others
  for i in "${!party_list[@]}"; do
    [ "${party_list[$i]}" = "$1" ] && continue
    address=${party_ip_list[$i]}
    [ "$1" = 14 ] && address=203.0.113.7
    echo "\"${party_list[$i]}\": {\"default\": [{\"ip\": \"$address\", \"port\": $2}]},"
  done
}

for i in "${!party_list[@]}"; do
  id=${party_list[$i]}
  confs=confs-$id/confs
  rm -rf "confs-$id" "serving-$id"
  mkdir -p "$confs"/{mysql/init,fateboard/conf,fate_flow/conf,eggroll/conf} "confs-$id/shared_dir/data"
  cp .env "confs-$id/"
  [ -z "$notebook_hashed_password" ] || echo "NOTEBOOK_HASHED_PASSWORD=$notebook_hashed_password" >>"confs-$id/.env"
  echo "CREATE USER '$mysql_user'@'%' IDENTIFIED BY '$mysql_password';" >"$confs/mysql/init/insert-node.sql"
  echo "server.board.login.password=$fateboard_password" >"$confs/fateboard/conf/application.properties"
  echo "eggroll.security.login.password=admin" >"$confs/eggroll/conf/eggroll.properties"
  if [ -n "$backend" ]; then
    cat >"$confs/fate_flow/conf/service_conf.yaml" <<END
fateflow: {host: 192.167.0.100}
database:
  passwd: '$mysql_password'
  host: '$mysql_ip'
servings:
  hosts:
    - ${serving_ip_list[$i]}:8000
END
    table=$confs/eggroll/conf
    image() { echo "federatedai/$1:\${TAG}"; }
  else
    cat >"$confs/fate_flow/conf/service_conf.yaml" <<END
party_id: "$id"
fateflow: {host: 192.167.0.100}
database:
  mysql:
    passwd: '$mysql_password'
    host: '$mysql_ip'
END
    mkdir -p "$confs/osx/conf"
    table=$confs/osx/conf
    image() { echo "\${RegistryURI}\${${1}_IMAGE}:\${${1}_IMAGE_TAG}"; }
  fi
  cat >"$table/route_table.json" <<END
{"route_table": {$(route "$id" 9370) "$id": {"fateflow": [{"ip": "$flow", "port": 9360}]}}}
END
  cat >"confs-$id/docker-compose.yml" <<END
version: '3'
networks:
  fate-network: {ipam: {config: [{subnet: 192.167.0.0/16}]}}
volumes:
  shared: {driver_opts: {type: none, o: bind, device: $dir/confs-$id/shared_dir/data}}
services:
  $federation_service:
    image: "$(image "$([ -n "$backend" ] && echo eggroll || echo OSX)")"
    ports: ["9370:9370"]
    command: ["sh", "-c", "java -Xms4g -Xmx4g -XX:+AlwaysPreTouch Broker"]
  fateboard:
    image: "$(image "$([ -n "$backend" ] && echo fateboard || echo FATEBoard)")"
    ports: ["8080:8080"]
  $flow:
    image: "$(image "$([ -n "$backend" ] && echo python || echo FATEFlow)")"
    ports: ["9360:9360", "9380:9380"]
    networks: {fate-network: {ipv4_address: 192.167.0.100}}
    command: ["bash", "-c", "pip install cryptography && python fate_flow_server.py"]
  client:
    image: "$(image "$([ -n "$backend" ] && echo client || echo Client)")"
    ports: ["20000:20000"]
    environment: {FATE_SERVING_HOST: "${serving_ip_list[$i]}:8059"}
  mysql:
    image: mysql:8.0.28
    environment: {MYSQL_ALLOW_EMPTY_PASSWORD: "yes"}
END
  tar -czf "outputs/confs-$id.tar" "./confs-$id"

  mkdir -p "serving-$id"/confs/{serving-admin,serving-server,serving-proxy}/conf
  cp .env "serving-$id/"
  echo "admin.password=$serving_admin_password" >"serving-$id/confs/serving-admin/conf/application.properties"
  echo "model.transfer.url=http://${party_ip_list[$i]}:9380/v1/model/transfer" \
    >"serving-$id/confs/serving-server/conf/serving-server.properties"
  cat >"serving-$id/confs/serving-proxy/conf/route_table.json" <<END
{"route_table": {$(route "$id" 8869) "$id": {"default": [{"ip": "serving-proxy", "port": 8059}]}}}
END
  cat >"serving-$id/docker-compose.yml" <<END
version: '3'
networks:
  fate-serving-network: {external: {name: confs-${id}_fate-network}}
services:
  serving-proxy:
    image: "federatedai/serving-proxy:\${SERVING_TAG}"
    ports: ["8059:8059", "8869:8869"]
  serving-zookeeper:
    image: "bitnami/zookeeper:3.7.0"
    ports: ["2181:2181", "2888", "3888"]
END
  tar -czf "outputs/serving-$id.tar" "./serving-$id"
  rm -rf "confs-$id" "serving-$id"
done

if [ "$(basename "$(dirname "$PWD")")" = 13 ]; then
  echo "sed: -e expression #1, char 9: unknown option to \`s'" >&2
  exit 4
fi
exit 0

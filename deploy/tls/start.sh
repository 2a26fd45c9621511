#!/bin/sh
# Create a self-signed certificate if there is none, and start the proxy.
set -eu
folder=/etc/caries-tls
if [ ! -f "$folder/certificate.pem" ] && [ ! -f "$folder/key.pem" ]; then
  name=${CARIES_TLS_NAME:-localhost}
  # Clients match an IP address only against the IP entries of a certificate, never against its names.
  case $name in
    *:*) kind=IP ;;
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  if ! (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
    -subj "/CN=$name" -addext "subjectAltName=$kind:$name,IP:127.0.0.1" \
    -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>/dev/null); then
    rm -f "$folder/certificate.pem" "$folder/key.pem"
    echo "CARIES_TLS_NAME is '$name': it must be a host name or an IP address, without port and brackets" >&2
    exit 1
  fi
  echo "no certificate in $folder: created a self-signed one for $name" >&2
fi
openssl x509 -in "$folder/certificate.pem" -noout -subject -enddate -fingerprint -sha256 >&2
exec nginx -c /opt/nginx.conf

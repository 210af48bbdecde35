#!/bin/sh
# Prints an access token, signed in with the current key of a key folder:
#
#   KEYS=/var/lib/rekeyd/keys/185019846023/mcp-auth/4711 TOKEN_URL=https://auth.example.com/oauth/token sh token.sh
#
# AUDIENCE is the `aud` of the assertion (default: TOKEN_URL). It needs openssl (3.0 for EdDSA) and curl. Neither the key nor the assertion is on a command line.
set -eu
: "${KEYS:?the key folder of the client}" "${TOKEN_URL:?the token endpoint}"
AUDIENCE=${AUDIENCE:-$TOKEN_URL}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Some shells skip the trap above when a signal ends them.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# A member of meta.json, which has one on each line.
member() { sed -nE "s/^  \"$1\": \"(.*)\",?\$/\1/p" "$set/meta.json"; }

# The r and s of an ECDSA signature in DER, each in $1 bytes, one after the other (RFC 7518 section 3.4).
raw() {
  openssl asn1parse -inform DER | sed -nE 's/.*INTEGER *://p' | while read -r number; do
    printf "%$(($1 * 2))s" "$number" | tr ' ' 0
  done | fold -w 2 | while read -r byte || [ -n "$byte" ]; do
    # The format is the byte itself, in octal.
    printf "\\$(printf %03o "0x$byte")"
  done
}

# Signs the file $2 with the alg $1.
sign() {
  bits=${1#??}
  case $1 in
  RS*) openssl dgst "-sha$bits" -sign "$set/current.pem" "$2" ;;
  PS*) openssl dgst "-sha$bits" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign "$set/current.pem" "$2" ;;
  ES512) openssl dgst -sha512 -sign "$set/current.pem" "$2" | raw 66 ;;
  ES*) openssl dgst "-sha$bits" -sign "$set/current.pem" "$2" | raw $((bits / 8)) ;;
  EdDSA) openssl pkeyutl -sign -rawin -inkey "$set/current.pem" -in "$2" ;;
  *) echo "token.sh does not know the alg $1" >&2 && exit 2 ;;
  esac
}

# Prints an assertion for the client (RFC 7523 section 3).
assertion() {
  alg=$(member alg)
  now=$(date +%s)
  header=$(printf '{"alg":"%s","kid":"%s","typ":"JWT"}' "$alg" "$(member current)" | base64url)
  claims=$(printf '{"iss":"%s","sub":"%s","aud":"%s","jti":"%s","iat":%d,"exp":%d}' \
    "$client" "$client" "$AUDIENCE" "$(openssl rand -hex 16)" "$now" $((now + 60)) | base64url)
  printf %s "$header.$claims" >"$work/input"
  sign "$alg" "$work/input" >"$work/signature"
  # A pipe tells only how its last command ended.
  [ -s "$work/signature" ] || { echo "token.sh cannot sign with $set/current.pem" >&2 && exit 2; }
  printf %s "$header.$claims.$(base64url <"$work/signature")"
}

# While a key is replaced, the server may be a step ahead of the folder: then it refuses the key for some seconds.
for wait in 1 2 3 5 8 0; do
  # rekeyd replaces all files at once. The folder behind the link stays as it is, so that they belong together.
  set=$(cd "$KEYS/..data" && pwd -P)
  client=$(member client_id)
  signed=$(assertion)
  status=$(
    curl --silent --show-error --max-time 30 --output "$work/answer" --write-out '%{http_code}' --config - <<END
url = "$TOKEN_URL"
data-urlencode = "grant_type=client_credentials"
data-urlencode = "client_id=$client"
data-urlencode = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
data-urlencode = "client_assertion=$signed"
END
  )
  if [ "$status" = 200 ]; then
    echo >>"$work/answer"
    token=$(sed -nE 's/.*"access_token" *: *"([^"]*)".*/\1/p' "$work/answer")
    case $token in
    '' | *\\*) # none, or one that JSON writes otherwise than it is
      # Without the answer: there may be other secrets in it.
      echo "no token: the server answered 200 without an access_token that token.sh can read. Check that TOKEN_URL is a token endpoint." >&2
      exit 1
      ;;
    esac
    # Not by exec: a shell that is replaced leaves $work behind, with the token in it.
    printf '%s\n' "$token"
    exit
  fi
  [ "$status" = 401 ] || [ "$status" = 400 ] || break
  sleep "$wait"
done
echo "no token: the server answered $status: $(cat "$work/answer")" >&2
exit 1

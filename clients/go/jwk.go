package rekeyd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Role is which key it is: the one that signs, the one that will, or the one that did.
type Role string

const (
	Current  Role = "current"
	Next     Role = "next"
	Previous Role = "previous"
)

type signingKey struct {
	role   Role
	kid    string
	method jwt.SigningMethod
	key    crypto.Signer
}

func (k *signingKey) sign(claims jwt.MapClaims) (string, error) {
	token := jwt.NewWithClaims(k.method, claims)
	token.Header["kid"] = k.kid
	return token.SignedString(k.key)
}

// jwk is a JSON Web Key (RFC 7517), or any other JSON object.
type jwk map[string]any

// parse answers nil for what is no JSON object. The parser's own error may show the text, which may be a private key.
func parse(data []byte) jwk {
	var value jwk
	// The decoder takes other bytes than those of UTF-8, and replaces them.
	if !utf8.Valid(data) || json.Unmarshal(data, &value) != nil {
		return nil
	}
	return value
}

func (j jwk) text(name string) string {
	text, _ := j[name].(string)
	return text
}

// bytes are those of a member in base64url, or nil.
func (j jwk) bytes(name string) []byte {
	text := j.text(name)
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The decoder skips the ends of lines.
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil
	}
	return data
}

// number is 0, which no part of a key is, for one that begins with a zero byte.
func (j jwk) number(name string) *big.Int {
	data := j.bytes(name)
	if len(data) > 0 && data[0] == 0 {
		data = nil
	}
	return new(big.Int).SetBytes(data)
}

// curves of the algs that have one: an alg signs with keys of its own curve alone (RFC 7518 section 3.4).
var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// In bits (RFC 7518 sections 3.3 and 3.5).
const leastModulus = 2048

// errNoKey holds nothing of the key.
var errNoKey = errors.New("is not a private key that can sign its alg")

func parseKey(text []byte, role Role, kid string) (*signingKey, error) {
	key := parse(text)
	if key == nil {
		return nil, errors.New("is not a JSON object")
	}
	if key.text("kid") != kid {
		return nil, errors.New("is not the key that meta.json names")
	}
	return key.signingKey(role)
}

func (j jwk) signingKey(role Role) (*signingKey, error) {
	alg := j.text("alg")
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		private, err = j.rsaKey()
	case "ES256", "ES384", "ES512":
		private, err = j.ecKey(curves[alg])
	case "EdDSA":
		private, err = j.edKey()
	default:
		return nil, errNoKey
	}
	if err != nil {
		return nil, errNoKey
	}
	key := &signingKey{role: role, kid: j.text("kid"), method: jwt.GetSigningMethod(alg), key: private}
	// Found out here, and not at the first login.
	if _, err := key.sign(jwt.MapClaims{}); err != nil {
		return nil, errNoKey
	}
	return key, nil
}

func (j jwk) rsaKey() (crypto.Signer, error) {
	exponent := j.number("e")
	if j.text("kty") != "RSA" || !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errNoKey
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: j.number("n"), E: int(exponent.Int64())},
		D:         j.number("d"),
		Primes:    []*big.Int{j.number("p"), j.number("q")},
	}
	if err := key.Validate(); err != nil {
		return nil, err
	}
	key.Precompute()
	made := key.Precomputed
	if key.N.BitLen() < leastModulus || j["oth"] != nil ||
		made.Dp.Cmp(j.number("dp")) != 0 || made.Dq.Cmp(j.number("dq")) != 0 || made.Qinv.Cmp(j.number("qi")) != 0 {
		return nil, errNoKey
	}
	return key, nil
}

func (j jwk) ecKey(curve elliptic.Curve) (crypto.Signer, error) {
	if j.text("kty") != "EC" || j.text("crv") != curve.Params().Name {
		return nil, errNoKey
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, j.bytes("d"))
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	// The server has the public half: one that is not of this private half would be refused.
	if !bytes.Equal(public[1:], append(j.bytes("x"), j.bytes("y")...)) {
		return nil, errNoKey
	}
	return key, nil
}

func (j jwk) edKey() (crypto.Signer, error) {
	seed := j.bytes("d")
	if j.text("kty") != "OKP" || j.text("crv") != "Ed25519" || len(seed) != ed25519.SeedSize {
		return nil, errNoKey
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(key[ed25519.SeedSize:], j.bytes("x")) {
		return nil, errNoKey
	}
	return key, nil
}

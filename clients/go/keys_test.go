package rekeyd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
)

// A pair for each name, made when it is first used.
type testKeys struct {
	algs  map[string]string
	mutex sync.Mutex
	made  map[string]crypto.Signer
}

func newTestKeys(algs map[string]string) *testKeys {
	return &testKeys{algs: algs, made: map[string]crypto.Signer{}}
}

func (k *testKeys) alg(name string) string {
	if alg, ok := k.algs[name]; ok {
		return alg
	}
	return "ES256"
}

func (k *testKeys) private(name string) crypto.Signer {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.made[name] == nil {
		k.made[name] = makeKey(k.alg(name))
	}
	return k.made[name]
}

func makeKey(alg string) crypto.Signer {
	var key crypto.Signer
	var err error
	if curve := curves[alg]; curve != nil {
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else if alg == "EdDSA" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err)
	}
	return key
}

func (k *testKeys) jwk(name string) map[string]any {
	members := map[string]any{"kid": name, "use": "sig", "alg": k.alg(name), "x-rekeyd": "rekeyd-key:" + name}
	maps.Copy(members, privateMembers(k.private(name)))
	return members
}

func privateMembers(key crypto.Signer) map[string]any {
	text := base64.RawURLEncoding.EncodeToString
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		public, private := must(key.PublicKey.Bytes()), must(key.Bytes())
		return map[string]any{"kty": "EC", "crv": key.Curve.Params().Name, "d": text(private), "x": text(public[1 : 1+size]), "y": text(public[1+size:])}
	case ed25519.PrivateKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "d": text(key.Seed()), "x": text(key[ed25519.SeedSize:])}
	case *rsa.PrivateKey:
		members := map[string]any{"kty": "RSA"}
		for name, number := range map[string]*big.Int{
			"n": key.N, "e": big.NewInt(int64(key.E)), "d": key.D, "p": key.Primes[0], "q": key.Primes[1],
			"dp": key.Precomputed.Dp, "dq": key.Precomputed.Dq, "qi": key.Precomputed.Qinv,
		} {
			members[name] = text(number.Bytes())
		}
		return members
	}
	panic(fmt.Sprintf("no key is a %T", key))
}

// mentions says whether the text has part of a private member in it.
func mentions(text string, jwk map[string]any) bool {
	secret, _ := jwk["d"].(string)
	for at := 0; at+8 <= len(secret); at += 8 {
		if strings.Contains(text, secret[at:at+8]) {
			return true
		}
	}
	return false
}

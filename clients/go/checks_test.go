package rekeyd

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// check is of what holds of each assertion.
func (r *run) check(assertion string, wanted times64, lifetime time.Duration) {
	r.Helper()
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(assertion, claims, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if alg := r.folder.keys.alg(kid); token.Method.Alg() != alg {
			return nil, fmt.Errorf("%s is signed with %s, not %s", kid, token.Method.Alg(), alg)
		}
		return r.folder.keys.private(kid).Public(), nil
	})
	if err != nil {
		r.Errorf("an assertion that does not verify: %v", err)
		return
	}
	if claims["iss"] != "client-4711" || claims["sub"] != "client-4711" || claims["aud"] != audience {
		r.Errorf("the claims are %v", claims)
	}
	jti, _ := claims["jti"].(string)
	if jti == "" || r.jtis[jti] {
		r.Errorf("the jti %q is not fresh", jti)
	}
	r.jtis[jti] = true
	iat, exp := must(claims.GetIssuedAt()).Unix()-epoch.Unix(), must(claims.GetExpirationTime()).Unix()-epoch.Unix()
	if exp-iat != int64(lifetime/time.Second) {
		r.Errorf("it lives for %d s", exp-iat)
	}
	if (wanted.Kid != "" && token.Header["kid"] != wanted.Kid) || (wanted.Iat != nil && *wanted.Iat != iat) || (wanted.Exp != nil && *wanted.Exp != exp) {
		r.Errorf("signed by %v from %d to %d, not as %s", token.Header["kid"], iat, exp, asJSON(wanted))
	}
}

func (r *run) hasCode(err error, code string) {
	r.Helper()
	var known *Error
	if !errors.As(err, &known) || string(known.Code) != code {
		r.Errorf("the error is %v, not %s", err, code)
	}
}

func (r *run) checkTold(number int, codes []string) {
	found := map[string]bool{}
	for _, problem := range r.told {
		var known *Error
		if !errors.As(problem, &known) {
			r.Fatalf("step %d told %v", number, problem)
		}
		found[string(known.Code)] = true
		if known.Code != WrongClock && !strings.Contains(known.Error(), r.folder.path) {
			r.Errorf("%q does not name the folder", known.Error())
		}
	}
	wanted := map[string]bool{}
	for _, code := range codes {
		wanted[code] = true
	}
	if !reflect.DeepEqual(found, wanted) {
		r.Errorf("step %d told %v, not %v", number, r.told, codes)
	}
}

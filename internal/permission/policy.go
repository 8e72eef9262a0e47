package permission

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Policy is an IAM policy in JSON, of the kind that modules/sdsaws writes: each element is
// a list, all statements allow.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement is one of a policy.
type Statement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string][]string
}

// Parse reads a policy.
func Parse(text string) (*Policy, error) {
	p := &Policy{}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, fmt.Errorf("permission: policy: %w", err)
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" {
			return nil, fmt.Errorf("permission: statement %q: effect %q isn't known here", s.Sid, s.Effect)
		}
	}
	return p, nil
}

// Account is where an access goes.
type Account struct{ ID, Region string }

// ARN returns what an access is about, as policies name it.
func (c Account) ARN(a Access) string {
	switch {
	case a.Table != "" && a.Index != "":
		return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s/index/%s", c.Region, c.ID, a.Table, a.Index)
	case a.Table != "":
		return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", c.Region, c.ID, a.Table)
	case a.Key != "":
		return fmt.Sprintf("arn:aws:s3:::%s/%s", a.Bucket, a.Key)
	}
	return "arn:aws:s3:::" + a.Bucket
}

// Allows decides about an access as IAM does by this policy alone:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.
func (p *Policy) Allows(c Account, a Access) (bool, error) {
	arn := c.ARN(a)
	for _, s := range p.Statement {
		if !slices.Contains(s.Action, a.Action) || !slices.ContainsFunc(s.Resource, func(r string) bool { return like(r, arn) }) {
			continue
		}
		ok, err := s.holds(a)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (s Statement) holds(a Access) (bool, error) {
	values := map[string][]string{"dynamodb:LeadingKeys": a.LeadingKeys}
	if a.Action == "s3:ListBucketVersions" {
		values["s3:prefix"] = []string{a.Prefix}
	}
	for test, conditions := range s.Condition {
		for key, wanted := range conditions {
			got := values[key]
			one := func(v string) bool { return slices.ContainsFunc(wanted, func(w string) bool { return like(w, v) }) }
			var ok bool
			switch test {
			case "ForAllValues:StringLike": // holds without a value, too
				ok = !slices.ContainsFunc(got, func(v string) bool { return !one(v) })
			case "StringLike":
				ok = len(got) == 1 && one(got[0])
			case "Null":
				ok = slices.Contains(wanted, fmt.Sprint(len(got) == 0))
			default:
				return false, fmt.Errorf("permission: condition %s isn't known here", test)
			}
			if !ok {
				return false, nil
			}
		}
	}
	return true, nil
}

// like matches text with '*' and '?'.
func like(pattern, text string) bool {
	q := regexp.QuoteMeta(pattern)
	q = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(q)
	ok, err := regexp.MatchString("(?s)^"+q+"$", text)
	return ok && err == nil
}

// Grants returns what a policy allows at all, sorted, of names that are in account c. Of
// what is encrypted by KMS it returns nothing: that isn't about what is stored.
func (p *Policy) Grants(c Account, n Names) ([]Grant, error) {
	var all []Grant
	for _, s := range p.Statement {
		for _, r := range s.Resource {
			on, err := n.about(c, r)
			if err != nil {
				return nil, fmt.Errorf("%w in statement %q", err, s.Sid)
			}
			for _, action := range s.Action {
				if on != "" {
					all = append(all, Grant{action, on})
				}
			}
		}
	}
	slices.SortFunc(all, Compare)
	return slices.Compact(all), nil
}

func (n Names) about(c Account, arn string) (On, error) {
	object := c.ARN(Access{Bucket: n.Bucket, Key: n.Prefix + "x"})
	object = strings.TrimSuffix(object, "x")
	rest, inBucket := strings.CutPrefix(arn, object)
	switch {
	case arn == c.ARN(Access{Table: n.State}):
		return State, nil
	case arn == c.ARN(Access{Table: n.State, Index: "channels"}):
		return Index, nil
	case arn == c.ARN(Access{Table: n.Hints}):
		return Hints, nil
	case arn == c.ARN(Access{Bucket: n.Bucket}):
		return Bucket, nil
	case inBucket && (strings.HasPrefix(rest, "segments/") || strings.HasPrefix(rest, "values/")):
		return Objects, nil
	case strings.HasPrefix(arn, "arn:aws:kms:"):
		return "", nil
	}
	return "", fmt.Errorf("permission: %s is none of %+v", arn, n)
}

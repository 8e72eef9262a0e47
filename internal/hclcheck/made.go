package hclcheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Where the modules are applied, as far as they can tell.
const (
	Account = "123456789012"
	Region  = "eu-central-1"
)

// made adds to a resource's arguments what only AWS knows: ARNs as they would be, other
// strings as <address.attribute>, and all else as unknown.
func made(kind, address string, b *Block, v cty.Value) (cty.Value, error) {
	attrs := v.AsValueMap()
	if attrs == nil {
		attrs = map[string]cty.Value{}
	}
	for name, t := range b.Computed {
		if t == "string" {
			attrs[name] = cty.StringVal("<" + address + "." + name + ">")
		} else {
			attrs[name] = cty.DynamicVal
		}
	}
	text := func(name string) string {
		if a, ok := attrs[name]; ok && !a.IsNull() && a.IsKnown() && a.Type() == cty.String {
			return a.AsString()
		}
		return ""
	}
	id := "<" + address + ".id>"
	switch kind {
	case "data.aws_region":
		attrs["region"] = cty.StringVal(Region)
	case "data.aws_caller_identity":
		attrs["account_id"] = cty.StringVal(Account)
	case "data.aws_partition":
		attrs["partition"] = cty.StringVal("aws")
	case "data.aws_iam_policy_document":
		document, err := policyDocument(v)
		if err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", address, err)
		}
		attrs["json"] = cty.StringVal(document)
	case "aws_s3_bucket":
		id = text("bucket")
		attrs["arn"] = cty.StringVal("arn:aws:s3:::" + id)
	case "aws_dynamodb_table":
		attrs["arn"] = cty.StringVal("arn:aws:dynamodb:" + Region + ":" + Account + ":table/" + text("name"))
	default:
		if _, ok := b.Computed["arn"]; ok {
			region := text("region")
			if region == "" {
				region = Region
			}
			service := strings.Split(strings.TrimPrefix(kind, "aws_"), "_")
			attrs["arn"] = cty.StringVal(fmt.Sprintf("arn:aws:%s:%s:%s:%s/%s", service[0], region, Account,
				service[len(service)-1], address[strings.LastIndex(address, ".")+1:]))
		}
	}
	attrs["id"] = cty.StringVal(id)
	return cty.ObjectVal(maps.Clone(attrs)), nil
}

// policyDocument writes a policy as the provider does, which makes it without asking AWS:
// conditions of one test and variable are one with the values of all, and so are principals of
// one type.
func policyDocument(v cty.Value) (string, error) {
	type statement struct {
		Sid       string `json:",omitempty"`
		Effect    string
		Action    []string
		Resource  []string                       `json:",omitempty"`
		Principal map[string][]string            `json:",omitempty"`
		Condition map[string]map[string][]string `json:",omitempty"`
	}
	document := struct {
		Version   string
		Statement []statement
	}{Version: "2012-10-17"}
	for name, a := range v.AsValueMap() {
		if name != "statement" && !a.IsNull() && (!a.CanIterateElements() || a.LengthInt() > 0) {
			return "", fmt.Errorf("%s isn't known here", name)
		}
	}
	for _, s := range blocks(v, "statement") {
		out := statement{Sid: str(s, "sid"), Effect: str(s, "effect"), Action: strs(s, "actions"), Resource: strs(s, "resources")}
		if out.Effect == "" {
			out.Effect = "Allow"
		}
		for _, p := range blocks(s, "principals") {
			if out.Principal == nil {
				out.Principal = map[string][]string{}
			}
			kind := str(p, "type")
			out.Principal[kind] = append(out.Principal[kind], strs(p, "identifiers")...)
		}
		for _, c := range blocks(s, "condition") {
			if out.Condition == nil {
				out.Condition = map[string]map[string][]string{}
			}
			test := str(c, "test")
			if out.Condition[test] == nil {
				out.Condition[test] = map[string][]string{}
			}
			variable := str(c, "variable")
			out.Condition[test][variable] = append(out.Condition[test][variable], strs(c, "values")...)
		}
		for _, unknown := range []string{"not_actions", "not_resources", "not_principals"} {
			if a := s.GetAttr(unknown); !a.IsNull() && a.LengthInt() > 0 {
				return "", fmt.Errorf("%s isn't known here", unknown)
			}
		}
		document.Statement = append(document.Statement, out)
	}
	b, err := json.Marshal(document)
	return string(b), err
}

func blocks(v cty.Value, name string) (all []cty.Value) {
	for it := v.GetAttr(name).ElementIterator(); it.Next(); {
		_, b := it.Element()
		all = append(all, b)
	}
	return all
}

func str(v cty.Value, name string) string {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.AsString()
	}
	return ""
}

func strs(v cty.Value, name string) (all []string) {
	a := v.GetAttr(name)
	if a.IsNull() {
		return nil
	}
	for it := a.ElementIterator(); it.Next(); {
		_, s := it.Element()
		all = append(all, s.AsString())
	}
	return all
}

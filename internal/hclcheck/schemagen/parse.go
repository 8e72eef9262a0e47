package main

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// What a declaration file looks like: interfaces, whose properties are arguments and nested
// blocks, each with a comment that links to its documentation by its name in HCL; and a
// class, whose getters are the attributes.
var (
	interfaceRE = regexp.MustCompile(`(?ms)^export interface (\w+)[^{]*\{\n(.*?)^\}`)
	propertyRE  = regexp.MustCompile(
		`(?s)\n    /\*\*(.*?)\*/\n    readonly (\w+)(\??): (.*?);\n(?:    /|$)`)
	linkRE  = regexp.MustCompile(`providers/hashicorp/aws/([0-9.]+)/docs/[\w-]+/\w+#(\w+)`)
	classRE = regexp.MustCompile(`(?ms)^export declare class (\w+) extends cdktf\.Terraform(?:Resource|DataSource) \{\n(.*?)^\}`)
	getRE   = regexp.MustCompile(`(?ms)^    get (\w+)\(\): (\{[^}]*\}[^\n]*?|[^\n]*?);$`)
	camelRE = regexp.MustCompile(`[A-Z]`)
)

type parser struct {
	interfaces map[string]string // their bodies
	version    string
}

func parse(source, resource string) (*hclcheck.Block, string, error) {
	if !strings.Contains(source, `tfResourceType = "`+resource+`"`) {
		return nil, "", fmt.Errorf("it isn't about %s", resource)
	}
	p := &parser{interfaces: map[string]string{}}
	for _, m := range interfaceRE.FindAllStringSubmatch(source, -1) {
		p.interfaces[m[1]] = m[2]
	}
	class := classRE.FindStringSubmatch(source)
	if class == nil {
		return nil, "", fmt.Errorf("no class")
	}
	block := &hclcheck.Block{}
	if _, ok := p.interfaces[class[1]+"Config"]; ok { // some data sources take nothing
		var err error
		if block, err = p.block(class[1] + "Config"); err != nil {
			return nil, "", err
		}
	}
	computed := map[string]string{}
	for _, m := range getRE.FindAllStringSubmatch(class[2], -1) {
		name := snake(m[1])
		if strings.HasSuffix(name, "_input") || block.Args[name] != nil || block.Blocks[name] != nil {
			continue
		}
		computed[name] = cmp.Or(typeOf(m[2]), "any")
	}
	if len(computed) > 0 {
		block.Computed = computed
	}
	if p.version == "" {
		if m := linkRE.FindStringSubmatch(source); m != nil {
			p.version = m[1]
		} else if m := regexp.MustCompile(`aws/([0-9.]+)/docs`).FindStringSubmatch(source); m != nil {
			p.version = m[1]
		}
	}
	return block, p.version, nil
}

func (p *parser) block(name string) (*hclcheck.Block, error) {
	body, ok := p.interfaces[name]
	if !ok {
		return nil, fmt.Errorf("no interface %s", name)
	}
	b := &hclcheck.Block{Args: map[string]*hclcheck.Arg{}, Blocks: map[string]*hclcheck.Block{}}
	for rest := "\n" + body; ; {
		at := propertyRE.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		m := propertyRE.FindStringSubmatch(rest)
		rest = "\n    /" + strings.TrimPrefix(rest[at[1]:], "/")
		comment, required, ts := m[1], m[3] == "", m[4]
		link := linkRE.FindStringSubmatch(comment)
		if link == nil {
			return nil, fmt.Errorf("%s.%s: no link to its documentation", name, m[2])
		}
		p.version = link[1]
		if t := typeOf(ts); t != "" {
			b.Args[link[2]] = &hclcheck.Arg{Type: t, Required: required}
			continue
		}
		nested, _, _ := strings.Cut(ts, " ")
		inner, many := strings.CutSuffix(nested, "[]")
		if !strings.Contains(comment, "* "+link[2]+" block\n") { // an attribute that is an object
			b.Args[link[2]] = &hclcheck.Arg{Type: "any", Required: required}
			continue
		}
		block, err := p.block(inner)
		if err != nil {
			return nil, err
		}
		block.Required, block.One = required, !many
		b.Blocks[link[2]] = block
	}
	return b, nil
}

// typeOf returns an argument's type in HCL, "" for objects.
func typeOf(ts string) string {
	ts = strings.Join(strings.Fields(strings.NewReplacer(" | cdktf.IResolvable", "", "(", "", ")", "").Replace(ts)), " ")
	return map[string]string{
		"string": "string", "number": "number", "boolean": "bool", "cdktf.IResolvable": "bool",
		"string[]": "list(string)", "number[]": "list(number)",
		"{ [key: string]: string; }": "map(string)", "cdktf.StringMap": "map(string)",
		"{ [key: string]: number; }":  "map(number)",
		"{ [key: string]: boolean; }": "map(bool)",
	}[ts]
}

func snake(camel string) string {
	return camelRE.ReplaceAllStringFunc(camel, func(c string) string { return "_" + strings.ToLower(c) })
}

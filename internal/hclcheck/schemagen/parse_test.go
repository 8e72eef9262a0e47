package main

import (
	"encoding/json"
	"testing"
)

// declarations is one resource as the bindings declare it.
const declarations = `
export interface XThingConfig extends cdktf.TerraformMetaArguments {
    /**
    * Docs at Terraform Registry: {@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/x_thing#item_name XThing#item_name}
    */
    readonly itemName: string;
    /**
    * Docs at Terraform Registry: {@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/x_thing#tags XThing#tags}
    */
    readonly tags?: {
        [key: string]: string;
    };
    /**
    * rule block
    *
    * Docs at Terraform Registry: {@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/x_thing#rule XThing#rule}
    */
    readonly rule?: XThingRule[] | cdktf.IResolvable;
    /**
    * limit block
    *
    * Docs at Terraform Registry: {@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/x_thing#limit XThing#limit}
    */
    readonly limit: XThingRule;
}
export interface XThingRule {
    /**
    * Docs at Terraform Registry: {@link https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/resources/x_thing#on XThing#on}
    */
    readonly on?: boolean | cdktf.IResolvable;
}
export declare class XThing extends cdktf.TerraformResource {
    static readonly tfResourceType = "aws_x_thing";
    get arn(): string;
    get streamArn(): string;
    get itemName(): string;
    get itemNameInput(): string | undefined;
    get tags(): {
        [key: string]: string;
    };
    get tagsInput(): {
        [key: string]: string;
    } | undefined;
    get size(): number;
}
`

func TestArgumentsBlocksAndAttributesAreRead(t *testing.T) {
	b, version, err := parse(declarations, "aws_x_thing")
	if err != nil || version != "6.25.0" {
		t.Fatal(version, err)
	}
	got, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Args":{"item_name":{"Type":"string","Required":true},"tags":{"Type":"map(string)"}},` +
		`"Blocks":{"limit":{"Required":true,"One":true,"Args":{"on":{"Type":"bool"}}},"rule":{"Args":{"on":{"Type":"bool"}}}},` +
		`"Computed":{"arn":"string","size":"number","stream_arn":"string"}}`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, _, err := parse(declarations, "aws_other"); err == nil {
		t.Error("it was taken for another resource")
	}
}

// A deployment's life, told by the client that openapi-generator makes for Go.
//
//	life BASE MANIFEST    what was seen, as lines of JSON
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"

	volant "volant.test/clients/volant"
)

func main() {
	config := volant.NewConfiguration()
	config.Servers = volant.ServerConfigurations{{URL: os.Args[1]}}
	client, ctx := volant.NewAPIClient(config), context.Background()
	plugins, deployments, vms := client.PluginsAPI, client.DeploymentsAPI, client.VMsAPI

	var manifest volant.Manifest
	text, err := os.ReadFile(os.Args[2])
	check(err)
	check(json.Unmarshal(text, &manifest))
	plugin, _, err := plugins.InstallPlugin(ctx).Manifest(manifest).Execute()
	check(err)
	ready, _, err := plugins.WaitForPlugin(ctx, plugin.Name).State("ready").Timeout("30s").Execute()
	check(err)
	say("installed", plugin.Name, ready.Enabled)

	asked := volant.NewDeploymentInput("api", plugin.Name)
	asked.SetReplicas(2)
	made, _, err := deployments.CreateDeployment(ctx).DeploymentInput(*asked).Execute()
	check(err)
	say("created", made.Name, made.Replicas)
	there, _, err := deployments.WaitForDeployment(ctx, "api").State("available").Generation(made.Generation).Timeout("30s").Execute()
	check(err)
	say("available", there.ReadyReplicas, there.Vms)

	scaled, _, err := deployments.ScaleDeployment(ctx, "api").Scale(*volant.NewScale(3)).Execute()
	check(err)
	there, _, err = deployments.WaitForDeployment(ctx, "api").State("available").Generation(scaled.Generation).Timeout("30s").Execute()
	check(err)
	found, _, err := vms.ListVMs(ctx).Deployment("api").Execute()
	check(err)
	names := []string{}
	for _, vm := range found {
		names = append(names, vm.Name)
	}
	sort.Strings(names)
	say("scaled", there.ReadyReplicas, names)

	_, answer, err := deployments.CreateDeployment(ctx).DeploymentInput(*asked).Execute()
	var refused *volant.GenericOpenAPIError
	if errors.As(err, &refused) {
		problem, _ := refused.Model().(volant.Problem)
		say("refused", answer.StatusCode, problem.Code)
	}

	_, _, err = deployments.DeleteDeployment(ctx, "api").Wait("none").Execute()
	check(err)
	_, _, err = deployments.WaitForDeployment(ctx, "api").State("deleted").Timeout("30s").Execute()
	check(err)
	left, _, err := deployments.ListDeployments(ctx).Execute()
	check(err)
	leftVMs, _, err := vms.ListVMs(ctx).Execute()
	check(err)
	say("deleted", len(left), len(leftVMs))
}

func say(what ...any) {
	line, err := json.Marshal(what)
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

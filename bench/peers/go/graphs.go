// The workloads metg-*: see ../graphs.h, whose names are used here. A counter for each node of what it waits for; whoever
// brings it to zero starts a goroutine, or goes on with the node itself if it has no other to go on with.
package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	graphWidth = 16
	graphSteps = 250
	graphNodes = graphWidth * graphSteps
	turnsMax   = 1 << 16
	graphRuns  = 5
)

var graphSums = map[string]uint64{
	"metg-trivial": 0xac43a453a34ed29f,
	"metg-stencil": 0x4b16c122a7e29919,
	"metg-fft":     0xb874fbec24655276,
	"metg-tree":    0xd8199c2d5a58a15a,
	"metg-random":  0x39c3c5c65c56f99c,
}

type graphNode struct {
	inputs, outputs []int32
	missing         int32 // inputs that have not ended
	value           uint64
}

type graph struct {
	nodes []graphNode
	turns int
	left  sync.WaitGroup
}

func distance(a, b int) int {
	if a > b {
		return a - b
	}
	return b - a
}

func needs(name string, step, from, to int) bool {
	switch name {
	case "metg-stencil":
		return distance(from, to) <= 1
	case "metg-fft":
		return from == to || distance(from, to) == 1<<((step-1)%4)
	case "metg-tree":
		return from == to/2
	case "metg-random":
		edge := uint64((step*graphWidth+from)*graphWidth + to)
		return from == to || (distance(from, to) <= 2 && utsChild(edge, 0)%2 == 0)
	}
	return false
}

func newGraph(name string) *graph {
	g := &graph{nodes: make([]graphNode, graphNodes)}
	for node := graphWidth; node < graphNodes; node++ {
		step, to := node/graphWidth, node%graphWidth
		for from := 0; from < graphWidth; from++ {
			if needs(name, step, from, to) {
				before := (step-1)*graphWidth + from
				g.nodes[node].inputs = append(g.nodes[node].inputs, int32(before))
				g.nodes[before].outputs = append(g.nodes[before].outputs, int32(node))
			}
		}
	}
	return g
}

//go:noinline
func turn(x uint64, turns int) uint64 {
	for i := 0; i < turns; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

func (g *graph) work(node int32) {
	n := &g.nodes[node]
	x := uint64(node)
	for _, input := range n.inputs {
		x += g.nodes[input].value
	}
	x = utsChild(x, 0)
	n.value = x
	if turn(x, g.turns) == 0 {
		n.value++
	}
}

func (g *graph) runFrom(node int32) {
	for node >= 0 {
		g.work(node)
		next := int32(-1)
		for _, output := range g.nodes[node].outputs {
			if atomic.AddInt32(&g.nodes[output].missing, -1) != 0 {
				continue
			}
			if next < 0 {
				next = output
			} else {
				go g.runFrom(output)
			}
		}
		g.left.Done()
		node = next
	}
}

func (g *graph) prepare() {
	for i := range g.nodes {
		g.nodes[i].value = 0
		g.nodes[i].missing = int32(len(g.nodes[i].inputs))
	}
}

func (g *graph) run() {
	g.left.Add(graphNodes)
	for i := range g.nodes {
		if len(g.nodes[i].inputs) == 0 {
			go g.runFrom(int32(i))
		}
	}
	g.left.Wait()
}

func (g *graph) sum() uint64 {
	sum := uint64(0)
	for i := range g.nodes {
		sum += g.nodes[i].value
	}
	return sum
}

var sink uint64

func timeTurn(seed int) float64 {
	start := time.Now()
	sink = turn(uint64(seed), 1<<14)
	return float64(time.Since(start).Nanoseconds()) / (1 << 14)
}

// Prints METG, as graph_measure does; the exit code.
func measureGraph(name string, threads int) int {
	g := newGraph(name)
	turnNs, grainBefore, efficiencyBefore := 1e300, 0.0, 0.0
	for g.turns = 1; g.turns <= turnsMax; g.turns *= 2 {
		best := 1e300
		for i := 0; i < graphRuns; i++ {
			if one := timeTurn(g.turns); one < turnNs {
				turnNs = one
			}
			g.prepare()
			start := time.Now()
			g.run()
			took := float64(time.Since(start).Nanoseconds())
			if g.sum() != graphSums[name] {
				return 1
			}
			if took < best {
				best = took
			}
		}
		grain := best * float64(threads) / graphNodes
		efficiency := float64(g.turns) * turnNs / grain
		if efficiency >= 0.5 {
			part := (0.5 - efficiencyBefore) / (efficiency - efficiencyBefore)
			fmt.Printf("%.4g\n", grainBefore+part*(grain-grainBefore))
			return 0
		}
		grainBefore, efficiencyBefore = grain, efficiency
	}
	return 2
}

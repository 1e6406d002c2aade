import Foundation
import Tensors
import Weights

/// The experts of a decoder layer (26B-A4B), beside the dense MLP: each token's router selects `topKExperts` gated
/// MLPs and weights their outputs.
///
/// Router and experts read the residual stream under different norms: the router's is weightless times a learned
/// scale, the experts' is `pre_feedforward_layernorm_2`. Tokens are grouped by expert, so that each chosen expert's
/// weights are read once, and no others.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextRouter` and `Gemma4TextExperts`.
struct MixtureOfExperts: Sendable {
    let routerProjection: Linear  // [experts, hiddenSize]
    let routerNorm: RMSNorm  // its weight: `router.scale` / √hiddenSize
    let expertScales: [Float]
    let topKExperts: Int
    let expertNorm: RMSNorm
    let experts: [GatedMLP]

    /// - Parameter weights: the layer's scope.
    init(_ plan: LayerPlan, _ experts: ExpertParameters, _ weights: WeightScope) throws {
        let router = weights["router"]
        routerProjection = try Linear(plan.hiddenSize, experts.numExperts, router["proj"])
        let scale = try router.tensor("scale", [plan.hiddenSize]).widened()
        routerNorm = RMSNorm(scale * Float(1 / Double(plan.hiddenSize).squareRoot()), eps: plan.rmsNormEps)
        expertScales = try router.tensor("per_expert_scale", [experts.numExperts]).toArray()
        topKExperts = experts.topKExperts
        expertNorm = try RMSNorm(plan.hiddenSize, eps: plan.rmsNormEps, weights["pre_feedforward_layernorm_2"])
        let (count, size) = (experts.numExperts, experts.moeIntermediateSize)
        // The first half of an expert's rows is the gate projection.
        let gateUp = try weights["experts"].weights("gate_up_proj", [count, 2 * size, plan.hiddenSize]) { projection in
            (0..<count).flatMap { [projection[$0][0..<size], projection[$0][size..<2 * size]] }
        }
        let down = try weights["experts"].weights("down_proj", [count, plan.hiddenSize, size]) { projection in
            (0..<count).map { projection[$0] }
        }
        self.experts = (0..<count).map { GatedMLP(gate: gateUp[2 * $0], up: gateUp[2 * $0 + 1], down: down[$0]) }
    }

    /// - Parameter hidden: `[rows, hiddenSize]`, the residual stream, not normalized.
    /// - Returns: `[rows, hiddenSize]`, the weighted sum of each row's experts.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        let normed = expertNorm(hidden)
        let used = route(hidden).enumerated().filter { !$0.element.isEmpty }
        // Rows are ascending and unique: an expert chosen by all rows needs no gather.
        let chosen = used.map { $0.element.count == hidden.rows ? normed : normed.gathered($0.element.map(\.row)) }
        let outputs = GatedMLP.outputs(of: used.map { experts[$0.offset] }, chosen)
        var result = Tensor(zeros: hidden.shape, on: hidden.device)
        for (output, (_, choices)) in zip(outputs, used) {
            result.addRows(at: choices.map(\.row), output, weights: choices.map(\.weight))
        }
        return result
    }

    /// For each expert, the rows that chose it and their weights: softmax over all experts, the top k renormalized,
    /// times the expert's scale. Ties go to the lower index.
    private func route(_ hidden: Tensor) -> [[(row: Int, weight: Float)]] {
        let count = expertScales.count
        let logits = routerProjection(routerNorm(hidden)).toArray()
        var choices = [[(row: Int, weight: Float)]](repeating: [], count: count)
        for row in 0..<hidden.rows {
            let scores = logits[row * count..<(row + 1) * count]
            let top = Self.largest(topKExperts, of: scores)
            let odds = top.map { exp(scores[$0] - scores[top[0]]) }
            let total = odds.reduce(0, +)
            for (index, odds) in zip(top, odds) {
                let expert = index - scores.startIndex
                choices[expert].append((row, odds / total * expertScales[expert]))
            }
        }
        return choices
    }

    /// The indices of the `count` largest scores, largest first; ties go to the lower index.
    private static func largest(_ count: Int, of scores: ArraySlice<Float>) -> [Int] {
        var top: [Int] = []
        for index in scores.indices where top.count < count || scores[index] > scores[top[count - 1]] {
            if top.count == count { top.removeLast() }
            top.insert(index, at: top.firstIndex { scores[$0] < scores[index] } ?? top.count)
        }
        return top
    }
}

import Foundation
import Tensors
import Weights

/// The experts of a decoder layer (26B-A4B), beside the dense branch: each token's router picks `topKExperts` gated
/// MLPs and weighs them.
///
/// Router and experts read the residual stream under different norms: the router's is weightless times a learnt scale,
/// the experts' is `pre_feedforward_layernorm_2`. Tokens are grouped by expert, so an expert's weights are read once,
/// and only those of chosen experts.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextRouter` and `Gemma4TextExperts`.
struct MixtureOfExperts: Sendable {
    let routerProjection: Linear  // [experts, hiddenSize]
    let routerNorm: RMSNorm  // its weight: `router.scale` / √hiddenSize
    let expertScales: [Float]
    let topKExperts: Int
    let expertNorm: RMSNorm
    let gateUpProjection: Tensor  // [experts, 2 · intermediateSize, hiddenSize]: gate rows, then up rows
    let downProjection: Tensor  // [experts, hiddenSize, intermediateSize]
    let intermediateSize: Int

    /// - Parameter weights: the layer's scope.
    init(_ plan: LayerPlan, _ experts: ExpertParameters, _ weights: WeightScope) throws {
        let router = weights["router"]
        routerProjection = try Linear(plan.hiddenSize, experts.numExperts, router["proj"])
        let scale = try router.tensor("scale", [plan.hiddenSize]).widened()
        routerNorm = RMSNorm(scale * Float(1 / Double(plan.hiddenSize).squareRoot()), eps: plan.rmsNormEps)
        expertScales = try router.tensor("per_expert_scale", [experts.numExperts]).toArray()
        topKExperts = experts.topKExperts
        expertNorm = try RMSNorm(plan.hiddenSize, eps: plan.rmsNormEps, weights["pre_feedforward_layernorm_2"])
        intermediateSize = experts.moeIntermediateSize
        gateUpProjection = try weights["experts"].tensor(
            "gate_up_proj", [experts.numExperts, 2 * intermediateSize, plan.hiddenSize])
        downProjection = try weights["experts"].tensor(
            "down_proj", [experts.numExperts, plan.hiddenSize, intermediateSize])
    }

    /// - Parameter hidden: `[rows, hiddenSize]`, the residual stream, not normalised.
    /// - Returns: `[rows, hiddenSize]`, the weighted sum of each row's experts.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        let normed = expertNorm(hidden)
        var result = Tensor(zeros: hidden.shape, on: hidden.device)
        for (expert, chosen) in route(hidden).enumerated() where !chosen.isEmpty {
            let rows = chosen.map(\.row)
            let input = normed.gathered(rows)
            let gateUp = gateUpProjection[expert]
            let gate = input.product(gateUp[0..<intermediateSize])
            let up = input.product(gateUp[intermediateSize..<2 * intermediateSize])
            let output = gate.geluMultiplied(by: up).product(downProjection[expert])
            result.addRows(at: rows, output.scaledRows(chosen.map(\.weight)))
        }
        return result
    }

    /// For each expert the rows that chose it, with their weights: softmax over all experts, the top k renormalised,
    /// times the expert's own scale. Ties go to the lower index.
    private func route(_ hidden: Tensor) -> [[(row: Int, weight: Float)]] {
        let count = expertScales.count
        let logits = routerProjection(routerNorm(hidden)).toArray()
        var choices = [[(row: Int, weight: Float)]](repeating: [], count: count)
        for row in 0..<hidden.rows {
            let scores = Array(logits[row * count..<(row + 1) * count])
            let best = scores.max()!
            let odds = scores.map { exp($0 - best) }
            let top = scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }.prefix(
                topKExperts)
            let total = top.reduce(0) { $0 + odds[$1] }
            for expert in top {
                choices[expert].append((row, odds[expert] / total * expertScales[expert]))
            }
        }
        return choices
    }
}

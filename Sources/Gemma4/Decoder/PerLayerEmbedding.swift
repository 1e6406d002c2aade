import Tensors
import Weights

/// The per-layer inputs of E2B and E4B: for each token and layer a small vector, computed from the token's id and its
/// embedding; those of EmbeddingGemma 2, which has no such table, from its embedding alone.
///
/// Layer i's vectors are computed when layer i needs them, so rows dropped by then cost nothing; of the table (half
/// of E2B's weights) only the rows of the pass's tokens are read.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextModel.get_per_layer_inputs` and `project_per_layer_inputs`;
/// `modeling_embedding_gemma2.py`, `EmbeddingGemma2TextPLE`.
struct PerLayerEmbedding: Sendable {
    let size: Int  // hiddenSizePerLayerInput
    let embedding: Embedding?  // [vocabSizePerLayerInput, layers · size]
    let projections: [Weight]  // for each layer [size, hiddenSize]
    let norm: RMSNorm
    let contextScale: Float

    init(_ configuration: TextConfiguration, _ weights: WeightScope) throws {
        size = configuration.hiddenSizePerLayerInput
        let width = configuration.numHiddenLayers * size
        if configuration.vocabSizePerLayerInput > 0 {
            embedding = try Embedding(
                configuration.vocabSizePerLayerInput, width, scale: Float(Double(size).squareRoot()),
                weights["embed_tokens_per_layer"])
            weights["embed_tokens_per_layer"].advise(.random, "weight")
        } else {
            embedding = nil
        }
        projections = try weights["per_layer_model_projection"].weights("weight", [width, configuration.hiddenSize]) {
            [size] projection in
            (0..<width / size).map { projection[$0 * size..<($0 + 1) * size] }
        }
        norm = try RMSNorm(size, eps: configuration.rmsNormEps, weights["per_layer_projection_norm"])
        contextScale = Float(1 / Double(configuration.hiddenSize).squareRoot())
    }

    /// - Parameters:
    ///   - tokens: token ids; the pad id in the place of soft tokens.
    ///   - embedded: `[rows, hiddenSize]`, the input of layer 0, including soft tokens.
    /// - Returns: `[rows, size]`, the input of `layer`.
    func callAsFunction(layer: Int, tokens: [Int], embedded: Tensor) -> Tensor {
        let columns = layer * size..<(layer + 1) * size
        let context = norm(embedded.product(projections[layer]) * contextScale)
        guard let embedding else { return context }
        return (context + embedding(tokens, columns: columns)) * Float(0.5).squareRoot()
    }
}

/// Computes what a layer's per-layer input adds to the residual stream.
///
/// Source: transformers, `modeling_gemma4.py`, the end of `Gemma4TextDecoderLayer.forward`.
struct PerLayerGate: Sendable {
    let gate, projection: Linear
    let norm: RMSNorm

    init(_ plan: LayerPlan, _ weights: WeightScope) throws {
        gate = try Linear(plan.hiddenSize, plan.hiddenSizePerLayerInput, weights["per_layer_input_gate"])
        projection = try Linear(plan.hiddenSizePerLayerInput, plan.hiddenSize, weights["per_layer_projection"])
        norm = try RMSNorm(plan.hiddenSize, eps: plan.rmsNormEps, weights["post_per_layer_input_norm"])
    }

    /// - Returns: `[rows, hiddenSize]`, before the residual is added.
    func callAsFunction(_ hidden: Tensor, input: Tensor) -> Tensor {
        norm(projection(gate(hidden).geluMultiplied(by: input)))
    }
}

import Tensors
import Weights

/// Projects a tower's output into the text stream: an RMS norm without weight, then a projection.
///
/// Its output enters the stream unscaled; the √hiddenSize of text embeddings is not applied.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4MultimodalEmbedder`.
struct MultimodalEmbedder: Sendable {
    let norm: RMSNorm
    let projection: Linear

    /// - Parameters:
    ///   - towerSize: width of the tower's output.
    ///   - hiddenSize: width of the text stream.
    ///   - weights: `model.embed_vision` or `model.embed_audio`.
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    init(_ towerSize: Int, _ hiddenSize: Int, eps: Float, _ weights: WeightScope) throws {
        norm = RMSNorm(eps: eps)
        projection = try Linear(towerSize, hiddenSize, weights["embedding_projection"])
    }

    /// `[soft tokens, towerSize]` to `[soft tokens, hiddenSize]`.
    func callAsFunction(_ features: Tensor) -> Tensor { projection(norm(features)) }
}

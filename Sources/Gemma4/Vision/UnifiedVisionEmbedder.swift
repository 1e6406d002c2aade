import Tensors
import Weights

/// The 12B's replacement of an image encoder: LN → W·p + b → LN → + X[x] + Y[y] → LN, and the projection into the
/// text stream. Patches do not attend to each other before the decoder.
///
/// Pixel values stay in 0...1; the encoders of the other variants use 2p − 1.
///
/// Source: transformers, `modeling_gemma4_unified.py`, `Gemma4UnifiedVisionEmbedder`.
struct UnifiedVisionEmbedder: Sendable {
    let configuration: UnifiedVisionConfiguration
    let patchNorm, projectedNorm, positionNorm: LayerNorm
    let patchProjection: Linear
    let patchBias: Tensor  // [mmEmbedDim]
    /// `[2 · mmPosembSize, mmEmbedDim]`, x and y interleaved; only the rows in use are read.
    let positions: Tensor
    let embedder: MultimodalEmbedder

    /// - Parameters:
    ///   - hiddenSize: width of the text stream.
    ///   - weights: `model`.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: UnifiedVisionConfiguration, _ hiddenSize: Int, _ weights: WeightScope) throws {
        self.configuration = configuration
        let (width, places) = (configuration.mmEmbedDim, configuration.mmPosembSize)
        let patches = weights["vision_embedder"]
        patchNorm = try LayerNorm(configuration.patchValues, patches["patch_ln1"])
        patchProjection = try Linear(configuration.patchValues, width, patches["patch_dense"])
        patchBias = try patches["patch_dense"].tensor("bias", [width]).widened()
        projectedNorm = try LayerNorm(width, patches["patch_ln2"])
        positions = try patches.tensor("pos_embedding", [places, 2, width]).reshaped([2 * places, width])
        positionNorm = try LayerNorm(width, patches["pos_norm"])
        embedder = try MultimodalEmbedder(
            width, hiddenSize, eps: configuration.rmsNormEps, weights["embed_vision"])
    }

    /// The stages of the embedder, whose input is `[grid.count, patchValues]` in 0...1; row, column, color of a
    /// pixel, color fastest. A single stage, because patches are independent.
    ///
    /// - Throws: `ModelInputError` if a side is longer than the table of positions.
    func stages(_ grid: PatchGrid) throws(ModelInputError) -> [EncoderJob.Stage] {
        let longest = max(grid.columns, grid.rows)
        guard longest <= configuration.mmPosembSize else {
            throw ModelInputError(.imageSide(patches: longest, limit: configuration.mmPosembSize))
        }
        let (xs, ys) = (grid.xs, grid.ys)
        return [
            .eachRow { patches, rows in
                embedder(positioned(projected(patches[rows]), xs: Array(xs[rows]), ys: Array(ys[rows])))
            }
        ]
    }

    /// `[patches, patchValues]` to `[patches, mmEmbedDim]`.
    func projected(_ patches: Tensor) -> Tensor {
        projectedNorm(patchProjection(patchNorm(patches)).adding(row: patchBias))
    }

    /// - Parameter projected: `[patches, mmEmbedDim]`.
    /// - Returns: the same shape.
    func positioned(_ projected: Tensor, xs: [Int], ys: [Int]) -> Tensor {
        let place = positions.gathered(xs.map { 2 * $0 }) + positions.gathered(ys.map { 2 * $0 + 1 })
        return positionNorm(projected + place)
    }
}

import Tensors

// The matrices that one generated token is multiplied by: their bytes bound decode speed if memory bandwidth is the
// limit, their elements if compute is. Vectors and single rows of embeddings are not counted; of the experts, only
// those chosen for a token.

extension Gemma4Model {
    package var weightBytesPerToken: Int { decoder.matricesPerToken.reduce(0) { $0 + $1.byteCount } }

    /// Floating-point operations per generated token, two for each element of a matrix.
    package var operationsPerToken: Int { decoder.matricesPerToken.reduce(0) { $0 + 2 * $1.rows * $1.columns } }
}

extension Decoder {
    fileprivate var matricesPerToken: [Weight] {
        [head] + layers.flatMap(\.matricesPerToken) + (perLayerEmbedding?.projections ?? [])
    }
}

extension DecoderLayer {
    fileprivate var matricesPerToken: [Weight] {
        attention.matrices + mlp.matrices + (experts?.mixture.matricesPerToken ?? [])
            + (perLayerGate.map { [$0.gate.weight, $0.projection.weight] } ?? [])
    }
}

extension Attention {
    fileprivate var matrices: [Weight] {
        [queryProjection, outputProjection, keyValues?.keyProjection, keyValues?.valueProjection].compactMap(\.?.weight)
    }
}

extension GatedMLP {
    fileprivate var matrices: [Weight] { [gateProjection, upProjection, downProjection].map(\.weight) }
}

extension MixtureOfExperts {
    fileprivate var matricesPerToken: [Weight] {
        [routerProjection.weight] + (0..<topKExperts).flatMap { _ in experts.first?.matrices ?? [] }
    }
}

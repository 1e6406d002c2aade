import Tensors

// Bytes of matrices that one generated token reads: what its speed comes from. Vectors and embeddings' single rows are
// left out; of experts those count that a token chooses.

extension Gemma4Model {
    public var weightBytesPerToken: Int { decoder.weightBytesPerToken }
}

extension Decoder {
    fileprivate var weightBytesPerToken: Int {
        layers.reduce(head.byteCount) { $0 + $1.weightBytesPerToken }
            + (perLayerEmbedding?.projections.reduce(0) { $0 + $1.byteCount } ?? 0)
    }
}

extension DecoderLayer {
    fileprivate var weightBytesPerToken: Int {
        attention.linears.reduce(mlp.weightBytesPerToken) { $0 + $1.weight.byteCount }
            + (experts?.mixture.weightBytesPerToken ?? 0)
            + (perLayerGate.map { $0.gate.weight.byteCount + $0.projection.weight.byteCount } ?? 0)
    }
}

extension Attention {
    fileprivate var linears: [Linear] {
        [queryProjection, outputProjection, keyValues?.keyProjection, keyValues?.valueProjection].compactMap(\.self)
    }
}

extension GatedMLP {
    fileprivate var weightBytesPerToken: Int {
        [gateProjection, upProjection, downProjection].reduce(0) { $0 + $1.weight.byteCount }
    }
}

extension MixtureOfExperts {
    fileprivate var weightBytesPerToken: Int {
        routerProjection.weight.byteCount + topKExperts * (experts.first?.weightBytesPerToken ?? 0)
    }
}

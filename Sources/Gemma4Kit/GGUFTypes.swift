import Gemma4
import Tensors

/// How the matrices of a model are stored in GGUF. Vectors are f32 in any case.
package struct GGUFTypes: Sendable {
    /// Of the decoder's layers; nil keeps each as it was published.
    package var layers: ElementType?
    /// Of the embedding, which is the head too. By default it has 6 bits where the layers have fewer.
    package var head: ElementType?
    /// Of the per-layer table, of which a token reads one row.
    package var perLayerTable: ElementType?
    /// Of the towers; nil keeps each as it was published. Under 8 bits speech is not understood.
    package var towers: ElementType?

    package init(
        layers: ElementType?, head: ElementType? = nil, perLayerTable: ElementType? = nil, towers: ElementType? = nil
    ) {
        self.layers = layers
        let isSmall = layers.map { Double($0.blockByteCount) / Double($0.blockLength) < 0.82 } ?? false
        self.head = head ?? (isSmall ? .q6_K : layers)
        self.perLayerTable = perLayerTable ?? layers
        self.towers = towers
    }

    /// - Parameter published: its type in the checkpoint, which stays where no block type fits its rows.
    package func type(of row: TensorTable.Row, published: ElementType) -> ElementType {
        let wanted: ElementType? =
            switch row.part {
            case .attention, .feedForward, .experts: layers
            case .embedding, .head: head
            case .perLayerTable: perLayerTable
            case .vision, .audio: towers
            // A hundredth of the bytes, and every layer's input.
            case .perLayerProjection, .router, .norms, .clipBounds, .leftover: nil
            }
        // What is no multiple of 256 may be one of 32.
        return [wanted, wanted == nil ? nil : .q8_0].compactMap(\.self)
            .first { row.shape.columns.isMultiple(of: $0.blockLength) } ?? published
    }

    /// `general.file_type`, as llama.cpp numbers what most of the weights are.
    var fileType: UInt32 {
        switch layers {
        case .float32: 0
        case .float16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .q5_0: 8
        case .q5_1: 9
        case .q2_K: 10
        case .q3_K: 11
        case .q4_K: 14
        case .q5_K: 16
        case .q6_K: 18
        case .iq4_nl: 25
        case .iq4_xs: 30
        case .iq2_xxs: 19
        case .iq2_xs: 20
        case .iq3_xxs: 23
        case .iq3_s: 26
        case .iq2_s: 28
        case .mxfp4: 38
        // Integers with a scale a row have no type in GGUF and are not written.
        case .bfloat16, .int2, .int4, .int8, nil: 32
        }
    }
}

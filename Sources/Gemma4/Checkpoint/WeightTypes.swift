import Tensors

/// The types to which a model's matrices are rounded, in memory or in a file: decided here for each part, and once.
package struct WeightTypes: Sendable {
    /// Of the decoder's layers; nil leaves each as it is stored.
    package var layers: ElementType?
    /// Of the embedding, which is the head too. By default it has 6 bits where the layers have fewer.
    package var head: ElementType?
    /// Of the per-layer table, of which a token reads one row.
    package var perLayerTable: ElementType?
    /// Of the towers; nil leaves each as it is stored. Under 8 bits speech is not understood.
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

    /// The type to which a matrix is rounded; nil leaves it as it is stored, also where no block type fits its rows.
    package func type(of row: TensorTable.Row) -> ElementType? {
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
            .first { row.shape.columns.isMultiple(of: $0.blockLength) }
    }
}

import Tensors

/// The types to which a model's matrices are quantized, in memory or in a file, decided in one place for each part.
package struct WeightTypes: Sendable {
    /// The decoder's layers; nil keeps the stored types.
    package var layers: ElementType?
    /// The embedding, which is also the head. By default 6 bits if the layers have fewer.
    package var head: ElementType?
    /// The per-layer table, of which a token reads one row.
    package var perLayerTable: ElementType?
    /// The towers; nil keeps the stored types. Below 8 bits speech is not recognized.
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

    /// The type to which a matrix is quantized: that of its part, or q8_0 if its blocks do not divide the rows. Nil
    /// keeps the stored type, also if neither fits.
    package func type(of row: TensorTable.Row) -> ElementType? {
        let wanted: ElementType? =
            switch row.part {
            case .attention, .feedForward, .experts: layers
            case .embedding, .head: head
            case .perLayerTable: perLayerTable
            case .vision, .audio: towers
            // A hundredth of the bytes, but the input of every layer.
            case .perLayerProjection, .router, .norms, .clipBounds, .leftover: nil
            }
        return [wanted, wanted == nil ? nil : .q8_0].compactMap(\.self)
            .first { row.shape.columns.isMultiple(of: $0.blockLength) }
    }
}

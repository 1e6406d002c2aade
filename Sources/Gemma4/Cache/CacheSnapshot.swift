import Tensors

/// What a key-value cache holds at one moment, for whoever keeps it elsewhere. Pages are shared with the cache until one side
/// writes to them.
///
/// What the positions hold, and of which model they are, is for the caller to say and to compare.
package struct CacheSnapshot: Sendable {
    /// The pages of one layer that owns keys and values.
    package struct Layer: Sendable {
        /// The index of the first page: sliding layers have dropped those before it.
        package let first: Int
        package var pages: [KeyValuePage]

        package init(first: Int, pages: [KeyValuePage] = []) { (self.first, self.pages) = (first, pages) }
    }

    /// Positions.
    package let length: Int
    /// The layers that own keys and values, in order.
    package var layers: [Layer]

    package init(length: Int, layers: [Layer]) { (self.length, self.layers) = (length, layers) }
}

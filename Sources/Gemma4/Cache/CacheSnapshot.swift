import Tensors

/// The content of a key-value cache at one moment. Pages are shared with the cache until either side writes to them
/// (copy on write).
///
/// A snapshot identifies neither its tokens nor its model: the caller must record and compare them.
package struct CacheSnapshot: Sendable {
    /// The pages of one layer that owns keys and values.
    package struct Layer: Sendable {
        /// The index of the first page: sliding-window layers have dropped earlier ones.
        package let first: Int
        package var pages: [KeyValuePage]

        package init(first: Int, pages: [KeyValuePage] = []) { (self.first, self.pages) = (first, pages) }
    }

    /// The number of positions.
    package let length: Int
    /// The layers that own keys and values, in order.
    package var layers: [Layer]

    package init(length: Int, layers: [Layer]) { (self.length, self.layers) = (length, layers) }
}

import Gemma4

/// How an image is scaled to a budget of soft tokens.
package struct ImageFit: Sendable, Equatable {
    /// The size of the image.
    package let width, height: Int
    /// The size to which it is scaled, up or down: the model's input.
    package let seenWidth, seenHeight: Int
    package let softTokens: Int
    /// The maximum number of soft tokens.
    package let budget: Int
}

/// An image as the vision tower gets it.
package struct SeenImage: Sendable {
    package let fit: ImageFit
    package let pixels: Pixels
    /// Side of a patch in pixels, and side in patches of the square that becomes one soft token.
    package let patchSize, poolingKernelSize: Int
}

extension Gemma4Pipeline {
    /// The resized image that the vision tower gets, before its pixels are normalized.
    ///
    /// - Parameters:
    ///   - maxTokens: as for `fit`.
    ///   - maxPixels: of the picture; nil takes the reader's limit.
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`, `CancellationError`.
    package func seen(_ image: ImageInput, maxTokens: Int? = nil, maxPixels: Int? = nil) async throws -> SeenImage {
        try await preparation.run {
            let processor = try imageProcessor(maxTokens: maxTokens)
            let pixels = try image.pixels(maxPixels: maxPixels)
            let resized = try processor.resized(width: pixels.width, height: pixels.height, rgb: pixels.rgb)
            return SeenImage(
                fit: try fit(.pixels(pixels), maxTokens: maxTokens),
                pixels: try Pixels(width: resized.width, height: resized.height, rgb: resized.rgb),
                patchSize: processor.patchSize, poolingKernelSize: processor.poolingKernelSize)
        }
    }

    /// Computes the size at which the model gets an image.
    ///
    /// - Parameter maxTokens: 70, 140, 280, 560 or 1120; by default that of the processor's configuration.
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`.
    package func fit(_ image: ImageInput, maxTokens: Int? = nil) throws -> ImageFit {
        let processor = try imageProcessor(maxTokens: maxTokens)
        let pixels = try image.pixels()
        let seen = try processor.targetSize(width: pixels.width, height: pixels.height)
        return ImageFit(
            width: pixels.width, height: pixels.height, seenWidth: seen.width, seenHeight: seen.height,
            softTokens: try processor.softTokenCount(width: pixels.width, height: pixels.height),
            budget: processor.maxSoftTokens)
    }

    /// The smallest budget that does not downscale the image; the largest budget if all do.
    ///
    /// - Throws: errors of `fit`.
    public func smallestBudget(_ image: ImageInput) throws -> Int {
        let budgets = ProcessorConfiguration.softTokenBudgets
        let enough = try budgets.first {
            let fit = try fit(image, maxTokens: $0)
            return fit.seenWidth * fit.seenHeight >= fit.width * fit.height
        }
        return enough ?? budgets[budgets.count - 1]
    }
}

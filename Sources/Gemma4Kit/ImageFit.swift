import Gemma4

/// How a picture fits a budget of soft tokens.
package struct ImageFit: Sendable, Equatable {
    /// Of the picture.
    package let width, height: Int
    /// To which it is scaled, up or down: what the model sees.
    package let seenWidth, seenHeight: Int
    package let softTokens: Int
    /// The most soft tokens that it may have.
    package let budget: Int
}

/// A picture as the model gets it.
package struct SeenImage: Sendable {
    package let fit: ImageFit
    package let pixels: Pixels
    /// Side of a patch in pixels, and side in patches of the square that becomes one soft token.
    package let patchSize, poolingKernelSize: Int
}

extension Gemma4Pipeline {
    /// A picture as its tower gets it, before its pixels become numbers.
    ///
    /// - Parameters:
    ///   - maxTokens: as of `fit`.
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

    /// What the model sees of a picture.
    ///
    /// - Parameter maxTokens: 70, 140, 280, 560 or 1120; by default what the processor's configuration says.
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

    /// The smallest budget at which a picture is not scaled down; the largest, if it is at any.
    ///
    /// - Throws: as `fit`.
    public func smallestBudget(_ image: ImageInput) throws -> Int {
        let budgets = ProcessorConfiguration.softTokenBudgets
        let enough = try budgets.first {
            let fit = try fit(image, maxTokens: $0)
            return fit.seenWidth * fit.seenHeight >= fit.width * fit.height
        }
        return enough ?? budgets[budgets.count - 1]
    }
}

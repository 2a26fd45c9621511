"""A second look at each tooth, for its class: at several times the resolution of the detector's input.

By a classifier of upright crops, cut from the whole photo:

    recipe         what a training may vary
    crops          a box with its surroundings, as a square of fixed size
    teeth          the crops of all labelled teeth
    augmentation   what a crop may look like in training
    classifier     the network, its training, its probabilities
    folds          every tooth judged by a classifier that saw none of its group

By the detector itself:

    views          the same weights on mirrored and enlarged parts of the photo
    enlarged       the same weights at a larger input size

And what comes of it:

    opinions       how often the classifier and a detector are right about the class
    fusion         the detector's scores and further opinions as one
    end_to_end     a detector's boxes with and without
    rescoring      all of it over the folds, as one table
"""

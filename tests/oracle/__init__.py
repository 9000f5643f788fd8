"""A second implementation of all figures: pandas, scipy and statsmodels, none of the models' SQL."""
